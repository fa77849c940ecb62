"""The blocks of Markdown documents that commands write their figures into."""

import re
from pathlib import Path


def replace_block(name: str, content: str, path: Path) -> None:
    """Puts text between ``<!-- name:begin -->`` and ``<!-- name:end -->`` of a document.

    Raises:
        ValueError: it has no block of that name.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    document = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"{path} has no block {name}")
    block = f"{begin}\n{content.strip()}\n{end}"
    path.write_text(pattern.sub(lambda _: block, document), encoding="utf-8")


def block_names(path: Path) -> list[str]:
    """The names of a document's blocks, in its order."""
    return re.findall(r"^<!-- ([\w-]+):begin -->$", path.read_text(encoding="utf-8"), re.MULTILINE)
