"""CSV, TSV and other delimited tables, and files of one text a line.

They are read by the standard library and not by pyarrow: a row's own bytes go into the output, with
its quotes and line end, which a parser that returns columns of values cannot restore; and one
broken row is only one row.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from gettext import gettext as _
from itertools import islice
from statistics import mean
from typing import BinaryIO, Final

from model.bulk.layout import (
    DELIMITERS,
    find_delimiter,
    find_layout,
    is_name_of_texts,
    is_number,
    usual_width,
)
from model.bulk.source import TextSource
from model.bulk.table import (
    TEXT_LINES,
    OutputColumns,
    ReadOptions,
    Row,
    Understood,
    unique_index,
)
from model.bulk.writers import formatted, write_delimited
from model.errors import BLANK, DataError
from model.files import CsvRecord, csv_records
from model.text.pipeline import is_blank

# Rows that are looked at to find the layout, in at most so many lines.
_SAMPLE_ROWS: Final = 200
_SAMPLE_LINES: Final = 2000
_SAMPLE_BYTES: Final = 4 * 1024 * 1024
# The line by which Excel is told of a delimiter.
_SEP_LINE: Final = re.compile(r"\"?sep=([,;|\t])\"?\s*+", re.IGNORECASE)
# The share of numbers that makes a column one of numbers.
_MOSTLY_NUMBERS: Final = 0.9


class DelimitedTable:
    """Rows of fields, with a header or without."""

    def __init__(self, source: TextSource, options: ReadOptions, usual: str, form: str) -> None:
        """Look at the first rows.

        Args:
            source: the file.
            options: how to read it.
            usual: the delimiter that its name stands for.
            form: what its name stands for.

        Raises:
            DataError: there are no rows, or it cannot be told how they are laid out.
        """
        self._source = source
        lines = _first_lines(source)
        if not lines:
            raise DataError(_("it is empty"))
        told = sep_line(source.decode, lines[0])
        self._skipped = lines[0] if told else b""
        del lines[: 1 if told else 0]
        self._numbers: Sequence[int] = ()
        self._delimiter = options.delimiter or told or self._find_delimiter(lines, usual)
        records = list(islice(self._records(lines), _SAMPLE_ROWS))
        if not records:
            raise DataError(_("it is empty"))
        if records[0].problem:
            raise DataError(
                _("its first row cannot be read: {problem}").format(problem=records[0].problem)
            )
        layout = find_layout([self._fields(each, self._delimiter) for each in records], options)
        self.names: Sequence[str] = layout.names
        self._index = layout.column
        self._header = records[0] if layout.header else None
        self._numbers = _number_columns(records[1:], len(self.names))
        self.understood = Understood(
            form,
            self.names[self._index],
            source.encoding.name,
            self._delimiter,
            header=layout.header,
        )

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        lines = self._source.lines()
        if self._skipped:
            next(lines, None)
        records = self._records(lines)
        if self._header:
            next(records, None)
        for number, record in enumerate(records, start=1):
            yield delimited_row(number, record, self.names, self._index)

    def value(self, row: Row, name: str) -> object:
        """See ``Table.value``."""
        return self.values(row)[unique_index(self.names, name)]

    def values(self, row: Row) -> Sequence[object]:
        """See ``Table.values``."""
        fields: list[str] = row.fields or []
        return fields + [""] * (len(self.names) - len(fields))

    def shown(self, row: Row) -> object:
        """See ``Table.shown``."""
        return self._source.shown(row.content)

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """See ``Table.write``."""
        file.write(self._source.mark + self._skipped)
        if self._header:
            fields = [_quoted(name, self._delimiter) for name in added]
            file.write(self._extended(self._header.raw, fields))
        for row in self.rows():
            if row.text is not None:
                file.write(self._extended(row.content, formatted(next(answers))))

    def _extended(self, raw: bytes, added: Sequence[str]) -> bytes:
        row, line_end = self._source.without_line_end(raw)
        fields = "".join(f"{self._delimiter}{field}" for field in added)
        return row + self._source.encoding.encode(fields) + (line_end or self._source.line_end)

    def _records(self, lines: Iterable[bytes], delimiter: str | None = None) -> Iterator[CsvRecord]:
        return csv_records(
            lines,
            delimiter or self._delimiter,
            self._source.decode,
            self._source.not_decoded,
            self._is_row if self._numbers else None,
        )

    def _is_row(self, line: bytes) -> bool:
        """Return whether a line inside quotes has fields, and numbers, where rows have theirs."""
        record = next(
            csv_records([line], self._delimiter, self._source.decode, self._source.not_decoded),
            None,
        )
        if record is None or len(record.fields) != len(self.names):
            return False
        return all(is_number(record.fields[index]) for index in self._numbers)

    def _fields(self, record: CsvRecord, delimiter: str) -> list[str]:
        """Return the fields of a row; a broken one shows nevertheless how many it has."""
        return record.fields or self._source.shown(record.raw).split(delimiter)

    def _find_delimiter(self, lines: Sequence[bytes], usual: str) -> str:
        rows = {}
        for delimiter in dict.fromkeys((usual, *DELIMITERS)):
            records = islice(self._records(lines, delimiter), _SAMPLE_ROWS)
            rows[delimiter] = [self._fields(each, delimiter) for each in records]
        return find_delimiter(rows)


class LinesTable:
    """A file of one text a line; blank lines are no rows."""

    names: Sequence[str] = ("text",)

    def __init__(self, source: TextSource, options: ReadOptions) -> None:
        """Take each line of a file for a text.

        Raises:
            DataError: the options name another column than ``text``.
        """
        self._source = source
        unique_index(self.names, options.column or self.names[0])
        self.understood = Understood(TEXT_LINES, self.names[0], source.encoding.name)

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        number = 0
        for raw in self._source.lines():
            try:
                text = self._source.decode(raw).strip("\r\n")
            except UnicodeDecodeError:
                number += 1
                yield Row(number, None, self._source.not_decoded, raw)
                continue
            if not text.strip():
                continue
            number += 1
            yield Row(number, None, BLANK, raw) if is_blank(text) else Row(number, text, "", raw)

    def value(self, row: Row, name: str) -> object:
        """See ``Table.value``."""
        return self.values(row)[unique_index(self.names, name)]

    def values(self, row: Row) -> Sequence[object]:
        """See ``Table.values``."""
        return (row.text,)

    def shown(self, row: Row) -> object:
        """See ``Table.shown``."""
        return self._source.shown(row.content)

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """Write CSV, since lines have no columns."""
        write_delimited(self, file, answers, added, ",")


def delimited_row(number: int, record: CsvRecord, names: Sequence[str], column: int) -> Row:
    """Return the row of a record, in a table whose columns have these names.

    Args:
        number: that of the row.
        record: its fields, or the problem why it has none.
        names: of all columns.
        column: the index of the one that holds the texts.
    """
    if record.problem:
        return Row(number, None, record.problem, record.raw)
    if len(record.fields) != len(names):
        problem = f"{len(record.fields)} fields, where the table has {len(names)}"
        return Row(number, None, problem, record.raw, record.fields)
    text = record.fields[column]
    if is_blank(text):
        return Row(number, None, BLANK, record.raw, record.fields)
    return Row(number, text, "", record.raw, record.fields)


def is_delimited(source: TextSource) -> bool:
    """Return whether a file of lines is a table, such as what Excel saves as Unicode text.

    Most lines are divided into as many fields: by tabs, or by another delimiter if the first one
    names a column of texts, or if a column is one of numbers.
    """
    lines = _first_lines(source)
    for delimiter in DELIMITERS:
        records = list(
            islice(csv_records(lines, delimiter, source.decode, source.not_decoded), _SAMPLE_ROWS)
        )
        width = usual_width([record.fields for record in records if not record.problem])
        if width > 1 and (
            delimiter == "\t"
            or any(map(is_name_of_texts, records[0].fields))
            or _number_columns(records, width)
        ):
            return True
    return False


def _first_lines(source: TextSource) -> list[bytes]:
    """Return the lines that are looked at to find the layout."""
    lines: list[bytes] = []
    size = 0
    for line in islice(source.lines(), _SAMPLE_LINES):
        lines.append(line)
        size += len(line)
        if size > _SAMPLE_BYTES:
            break
    return lines


def sep_line(decode: Callable[[bytes], str], line: bytes) -> str | None:
    """Return the delimiter that a first line names in the way of Excel."""
    try:
        text = decode(line)
    except UnicodeDecodeError:
        return None
    found = _SEP_LINE.fullmatch(text)
    return found[1] if found else None


def _number_columns(records: Sequence[CsvRecord], width: int) -> list[int]:
    """Return the columns in which nearly every row has a number."""
    rows = [record.fields for record in records if len(record.fields) == width]
    return [
        index
        for index in range(width)
        if rows and mean(is_number(row[index]) for row in rows) >= _MOSTLY_NUMBERS
    ]


def _quoted(name: str, delimiter: str) -> str:
    """Return the name of an added column as a field."""
    if not any(sign in name for sign in (delimiter, '"', "\r", "\n")):
        return name
    return '"{}"'.format(name.replace('"', '""'))
