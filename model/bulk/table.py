"""What the formats of tables share: rows, the columns that are added, the column of the texts."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from model.config import LABELS, Label
from model.errors import DataError, one_line

DEFAULT_COLUMN: Final = "text"


class Row(NamedTuple):
    """A row: its text, or the reason why it cannot be classified, and its content in the file."""

    text: str | None
    reason: str
    content: Any


class OutputColumns(NamedTuple):
    """What is added to a row, in the order of ``ADDED_COLUMNS``."""

    label: Label
    confidence: float
    positive: float
    neutral: float
    negative: float


ADDED_COLUMNS: Final = OutputColumns._fields


class Table(Protocol):
    """A file of rows."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows from the beginning; may be called several times."""
        ...

    def write(self, file: BinaryIO, columns: Iterator[OutputColumns]) -> None:
        """Write the rows that have a text, each with the next columns."""
        ...


def output_columns(probabilities: Sequence[float]) -> OutputColumns:
    """Return what is added to a row whose labels have these probabilities."""
    confidence = max(probabilities)
    label = LABELS[probabilities.index(confidence)]
    return OutputColumns(label, *(round(value, 6) for value in (confidence, *probabilities)))


def check_column_names(names: Iterable[str], path: Path) -> None:
    """Raise ``DataError`` if the table already has a column that would be added."""
    if taken := [name for name in ADDED_COLUMNS if name in names]:
        raise DataError(f"{path} has a column {taken[0]} already; rename it first")


def text_column(column: str | None, names: Sequence[str], path: Path) -> str:
    """Return the column of the texts: the given one, the only one, or ``DEFAULT_COLUMN``.

    Raises:
        DataError: the table does not have it exactly once, or already has a column to be added.
    """
    check_column_names(names, path)
    chosen = column or (names[0] if len(names) == 1 else DEFAULT_COLUMN)
    if names.count(chosen) != 1:
        how_often = "more than one column" if chosen in names else "no column"
        raise DataError(
            f"{path} has {how_often} {one_line(chosen)}; --column names one of "
            f"{one_line(', '.join(names))}"
        )
    return chosen
