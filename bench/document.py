"""The pages that benchmarks write their figures into."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
FIGURES = PAGE.parent / "figures"


def replace_block(name: str, content: str, path: Path = PAGE) -> None:
    """Puts text between ``<!-- name:begin -->`` and ``<!-- name:end -->`` of a page."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{path} has no block {name}")
    block = f"{begin}\n{content.strip()}\n{end}"
    path.write_text(pattern.sub(lambda _: block, page), encoding="utf-8")


def machine() -> str:
    """The processors that figures were measured on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return f"{len(names)} processors, {names[0] if names else 'unknown'}"
