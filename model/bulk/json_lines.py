"""Tables of JSON lines."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from model.bulk.table import ADDED_COLUMNS, DEFAULT_COLUMN, OutputColumns, Row, check_column_names
from model.errors import BLANK, DataError
from model.lines import LineError, has_lone_surrogate, parse_json
from model.text.pipeline import is_blank


class JsonTable:
    """JSON lines; rows may differ in their fields, so one without a text fails alone."""

    def __init__(self, path: Path, column: str | None) -> None:
        self._path = path
        objects = map(json_object, self._lines())
        first = next((value for value in objects if value is not None), None)
        if first is None:
            raise DataError(f"{path} has no line that is a JSON object")
        check_column_names(first, path)
        self._column = column or DEFAULT_COLUMN

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        return (json_row(line, self._column) for line in self._lines())

    def write(self, file: BinaryIO, columns: Iterator[OutputColumns]) -> None:
        """See ``Table.write``."""
        with self._path.open("rb") as own:
            if own.read(len(BOM_UTF8)) == BOM_UTF8:
                file.write(BOM_UTF8)
        for row in self.rows():
            if row.text is not None:
                file.write(extended_json(row.content, next(columns)))

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines that are not blank, without a byte order mark."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                content = line if number else line.removeprefix(BOM_UTF8)
                if content.strip():
                    yield content


def json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line holds, or ``None``."""
    try:
        value = parse_json(line)
    except LineError:
        return None
    return value if isinstance(value, dict) else None


def json_row(line: bytes, column: str) -> Row:
    """Return the row of a JSON line."""
    try:
        value = parse_json(line)
    except LineError as error:
        return Row(None, str(error), line)
    if not isinstance(value, dict):
        return Row(None, "the line is not a JSON object", line)
    if taken := [name for name in ADDED_COLUMNS if name in value]:
        return Row(None, f"it has a field {taken[0]} already", line)
    text = value.get(column)
    if not isinstance(text, str):
        problem = (
            f"its {column} is not a string" if column in value else f"it has no field {column}"
        )
        return Row(None, problem, line)
    if is_blank(text):
        return Row(None, BLANK, line)
    if has_lone_surrogate(text):
        return Row(None, "the text holds half of a surrogate pair", line)
    return Row(text, "", line)


def extended_json(line: bytes, columns: OutputColumns) -> bytes:
    """Return a line that holds a JSON object, unchanged but for the fields appended to it."""
    row = line.rstrip()
    line_end = line[len(row) :] or b"\n"
    added = json.dumps(columns._asdict())
    return row[:-1].rstrip() + b", " + added[1:].encode() + line_end
