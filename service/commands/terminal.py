"""What is shown in a terminal: widths in cells, bars, and colour where it is wanted."""

import os
import shlex
import shutil
import sys
from collections.abc import Collection, Sequence
from typing import Final
from unicodedata import east_asian_width

import click

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def cells(text: str) -> int:
    """Return the width of a text in cells of a terminal, of which a Chinese character takes two."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def padded(text: str, width: int) -> str:
    """Return a text with blanks behind it, up to a width in cells."""
    return text + " " * (width - cells(text))


def shortened(text: str, width: int) -> str:
    """Return a text cut to a width in cells, with an ellipsis if anything is cut off."""
    if cells(text) <= width:
        return text
    while cells(text) >= width:
        text = text[:-1]
    return f"{text}…"


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int]) -> list[str]:
    """Return rows of cells as lines of aligned columns, to the right but for those in ``left``."""
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        shown = [
            padded(cell, width) if index in left else " " * (width - cells(cell)) + cell
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(shown).rstrip())
    return lines


def program_name() -> str:
    """Return what starts this program in the user's shell, such as ``.venv/bin/sentiment``."""
    name = str(click.get_current_context().find_root().info_name)
    started = sys.argv[0]
    if os.path.basename(started) != name:  # by python -m, or by a test
        return name
    on_path = shutil.which(name)
    if on_path and os.path.realpath(on_path) == os.path.realpath(started):
        return name
    return shlex.quote(started)


def bar(share: float, width: int) -> str:
    """Return a bar of a share of ``width`` cells, from 0 to 1, to an eighth of a cell."""
    whole, eighths = divmod(round(share * width * 8), 8)
    return "█" * whole + _EIGHTHS[eighths].strip()


def bar_to_the_left(share: float, width: int) -> str:
    """Return a bar that grows from its right end, to half a cell, for want of finer signs."""
    whole, half = divmod(round(share * width * 2), 2)
    return "▐" * half + "█" * whole


def show(line: str) -> None:
    """Print a line, without its colours where there is no terminal or ``NO_COLOR`` is set."""
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)
