"""CSV and TSV tables.

They are read by the standard library and not by pyarrow: a row's own bytes go into the output, with
its quotes and line end, which a parser that returns columns of values cannot restore; and one
broken row is only one row.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from model.bulk.table import ADDED_COLUMNS, OutputColumns, Row, text_column
from model.errors import BLANK, DataError
from model.files import CsvRecord, csv_records
from model.text.pipeline import is_blank


class DelimitedTable:
    """CSV or TSV, with a header."""

    def __init__(self, path: Path, column: str | None, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter
        with path.open("rb") as file:
            header = next(csv_records(file, delimiter), CsvRecord(1, b"", [], "it is empty"))
        if header.problem:
            raise DataError(f"the header of {path} cannot be read: {header.problem}")
        self._header = header
        self._index = header.fields.index(text_column(column, header.fields, path))

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        with self._path.open("rb") as file:
            for record in islice(csv_records(file, self._delimiter), 1, None):
                yield self._row(record)

    def _row(self, record: CsvRecord) -> Row:
        if record.problem:
            return Row(None, record.problem, record.raw)
        found, expected = len(record.fields), len(self._header.fields)
        if found != expected:
            return Row(None, f"{found} fields, where the header has {expected}", record.raw)
        text = record.fields[self._index]
        return Row(None, BLANK, record.raw) if is_blank(text) else Row(text, "", record.raw)

    def write(self, file: BinaryIO, columns: Iterator[OutputColumns]) -> None:
        """See ``Table.write``."""
        file.write(self._extended(self._header.raw, ADDED_COLUMNS))
        for row in self.rows():
            if row.text is not None:
                label, *numbers = next(columns)
                added = [label, *(f"{number:.6f}" for number in numbers)]
                file.write(self._extended(row.content, added))

    def _extended(self, raw: bytes, added: Sequence[str]) -> bytes:
        row = raw.rstrip(b"\r\n")
        line_end = raw[len(row) :] or b"\n"
        return row + "".join(f"{self._delimiter}{field}" for field in added).encode() + line_end
