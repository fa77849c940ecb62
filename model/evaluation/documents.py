"""Blocks of Markdown documents that commands write their figures into."""

import re
from pathlib import Path

_BEGIN = re.compile(r"^<!-- ([\w-]+):begin -->$", re.MULTILINE)


def replace_block(name: str, content: str, path: Path) -> None:
    """Replace what is between ``<!-- name:begin -->`` and ``<!-- name:end -->`` in a document.

    Raises:
        ValueError: the document has no block of that name.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, begun, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{path} has no block {name}")
    path.write_text(f"{before}{begin}\n{content.strip()}\n{end}{after}", encoding="utf-8")


def block_names(path: Path) -> list[str]:
    """Return the names of a document's blocks, in order."""
    return _BEGIN.findall(path.read_text(encoding="utf-8"))
