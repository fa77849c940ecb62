"""What the formats of tables share: rows, how they are read, the columns that are added."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from gettext import gettext as _
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from model.config import LABELS, Label
from model.errors import DataError, one_line

# Before the names of what is added, in a table that has one of them already.
_PREFIX: Final = "sentiment"
# Forms, as messages call them.
CSV: Final = "CSV"
TSV: Final = "TSV"
TEXT_LINES: Final = "text lines"
JSON_LINES: Final = "JSON Lines"
JSON_ARRAY: Final = "JSON array"
PARQUET: Final = "Parquet"
WORKBOOK: Final = "Excel workbook"
# Names of sheets that are not read, in the line that says how a table is.
_SHOWN_SHEETS: Final = 5
DELIMITER_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class ReadOptions:
    """How to read a table; what is ``None`` is found out from the file.

    Attributes:
        column: the name of the column that holds the texts; a dotted one (``data.text``) is a
            field inside another of JSON. Without a header, columns have the names 1, 2, 3, …
        encoding: a name that Python knows.
        delimiter: the character between the fields of delimited rows.
        header: whether the first row names the columns.
        sheet: the name of a sheet of a workbook.
    """

    column: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    sheet: str | None = None


DEFAULT_OPTIONS: Final = ReadOptions()


@dataclass(frozen=True)
class Understood:
    """How a table is read; ``None`` is what its form does not have.

    Attributes:
        form: one of the constants of this module.
        encoding: ``UTF-8``, ``UTF-16``, ``GB18030``, ``Big5`` or as the options name it.
        delimiter: the character between fields.
        header: whether the first row names the columns.
        sheet: the sheet of a workbook.
        other_sheets: those that are not read.
        column: the column that holds the texts.
    """

    form: str
    column: str
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    sheet: str | None = None
    other_sheets: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return all of it in one line."""
        parts = [_(self.form)]
        if self.encoding:
            parts.append(self.encoding)
        if self.delimiter:
            name = DELIMITER_NAMES.get(self.delimiter, self.delimiter)
            parts.append(_("separated by {delimiter}").format(delimiter=_(name)))
        if self.sheet:
            parts.append(_("sheet {name}").format(name=one_line(self.sheet)))
        if self.other_sheets:
            shown = [*map(one_line, self.other_sheets[:_SHOWN_SHEETS])]
            if len(self.other_sheets) > len(shown):
                shown.append("…")
            others = _(", ").join(shown)
            parts[-1] += _(" (--sheet reads another: {others})").format(others=others)
        if self.header is not None:
            parts.append(_("a header") if self.header else _("no header"))
        parts.append(_("texts in column {column}").format(column=one_line(self.column)))
        return _(", ").join(parts)


class Row(NamedTuple):
    """A row: its text, or the reason why it cannot be classified.

    Attributes:
        number: from 1, not counting a header and blank lines.
        text: what to classify, or ``None``.
        reason: why there is nothing to classify, or empty.
        content: the row as it stands in the file; the type is its table's.
        fields: what ``Table.value`` looks up; the type is its table's.
    """

    number: int
    text: str | None
    reason: str
    content: Any
    fields: Any = None


class OutputColumns(NamedTuple):
    """What is added to a row, in the order of ``ADDED_COLUMNS``."""

    label: Label
    confidence: float
    uncertain: bool
    positive: float
    neutral: float
    negative: float


ADDED_COLUMNS: Final = OutputColumns._fields


class Table(Protocol):
    """A file of rows, of whatever form; ``open_table`` returns one."""

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns; of JSON, those that rows have had so far."""
        ...

    @property
    def understood(self) -> Understood:
        """How the file is read."""
        ...

    def rows(self) -> Iterator[Row]:
        """Yield all rows from the beginning; may be called several times.

        Raises:
            DataError: the file cannot be read to its end.
        """
        ...

    def value(self, row: Row, name: str) -> object:
        """Return a row's value in the column of that name, ``None`` if the row has none.

        Numbers, dates and the like are values of Python in the forms that have such types; in the
        others every value is a string.

        Raises:
            DataError: the table has no such column, or more than one.
        """
        ...

    def values(self, row: Row) -> Sequence[object]:
        """Return a row's values in the order of ``names``."""
        ...

    def shown(self, row: Row) -> object:
        """Return a row as the file of rows that failed shows it."""
        ...

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """Write the rows, each that has a text with the next answer, in the file's own form.

        Args:
            file: is empty.
            answers: one for each row that has a text.
            added: the names of the added columns, in the order of ``ADDED_COLUMNS``.
        """
        ...


def as_text(value: object) -> str:
    """Return a value as a field of a form whose fields are all text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def output_columns(probabilities: Sequence[float], uncertain: bool) -> OutputColumns:
    """Return what is added to a row whose labels have these probabilities."""
    confidence = max(probabilities)
    label = LABELS[probabilities.index(confidence)]
    confidence, *by_label = (round(value, 6) for value in (confidence, *probabilities))
    return OutputColumns(label, confidence, uncertain, *by_label)


def added_names(names: Collection[str], prefix: str | None = None) -> tuple[str, ...]:
    """Return the names of the added columns in a table that has these names already.

    All get the prefix ``sentiment_`` if one is taken, whatever its case; ``sentiment2_`` and so on
    if one of those is.

    Raises:
        DataError: the table has a column that the given prefix leads to.
    """
    taken = {name.strip().casefold() for name in names}

    def free(start: str) -> bool:
        return taken.isdisjoint(f"{start}{name}".casefold() for name in ADDED_COLUMNS)

    if prefix is None:
        number = 1
        prefix = ""
        while not free(prefix):
            prefix = f"{_PREFIX}{number if number > 1 else ''}_"
            number += 1
    elif not free(prefix):
        raise DataError(
            _(
                "there is a column whose name begins with {prefix} already; choose another --prefix"
            ).format(prefix=one_line(prefix))
        )
    return tuple(f"{prefix}{name}" for name in ADDED_COLUMNS)


def unique_index(names: Sequence[str], name: str, option: str = "--column") -> int:
    """Return the index of a column by its name, or by the only one that differs in case or blanks.

    ``option`` is the one that a message tells people to name another column by.

    Raises:
        DataError: there is no such column, or more than one.
    """
    exact = [index for index, each in enumerate(names) if each == name]
    folded = name.strip().casefold()
    found = exact or [i for i, each in enumerate(names) if each.strip().casefold() == folded]
    if len(found) > 1:
        raise DataError(
            _("there is more than one column {name}; rename all but one").format(
                name=one_line(name)
            )
        )
    if not found:
        raise DataError(
            _("there is no column {name}; {option} names one of {names}").format(
                name=one_line(name), option=option, names=one_line(", ".join(names))
            )
        )
    return found[0]
