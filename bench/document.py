"""The pages that benchmarks write their figures into."""

import re
from pathlib import Path

from model.evaluation import documents

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
FIGURES = PAGE.parent / "figures"


def replace_block(name: str, content: str, path: Path = PAGE) -> None:
    """Puts text into a block of a page: ``model.evaluation.documents.replace_block``."""
    documents.replace_block(name, content, path)


def machine() -> str:
    """The processors that figures were measured on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return f"{len(names)} processors, {names[0] if names else 'unknown'}"
