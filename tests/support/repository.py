"""The repository's files."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def read(name: str) -> str:
    """Return the text of a file, named by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")
