"""Tables of JSON: an object a line, or an array of objects."""

import json
import re
from collections.abc import Iterator, Sequence
from gettext import gettext as _
from itertools import islice
from typing import Any, BinaryIO, Final

from model.bulk.encodings import UTF_8, Encoding
from model.bulk.layout import text_column
from model.bulk.source import TextSource
from model.bulk.table import (
    ADDED_COLUMNS,
    JSON_ARRAY,
    JSON_LINES,
    OutputColumns,
    ReadOptions,
    Row,
    Understood,
    as_text,
)
from model.errors import BLANK, DataError
from model.files import NOT_UTF8
from model.lines import LineError, has_lone_surrogate, parse_json
from model.text.pipeline import is_blank

# Rows that are looked at to find the column of the texts.
_SAMPLE_ROWS: Final = 200
# Of an array, which is held in memory as a whole.
_MAX_ARRAY_BYTES: Final = 256 * 1024 * 1024
# Names of fields that are remembered; of more, only those that the added columns might have.
_MAX_NAMES: Final = 10_000
# Objects inside objects that are looked into for texts.
_MAX_DEPTH: Final = 4
_NOT_AN_OBJECT: Final = "the line is not a JSON object"
_ELEMENT_STARTS: Final = ("{", '"', "]")
_BLANKS: Final = re.compile(r"[ \t\r\n]*+")
_DECODER: Final = json.JSONDecoder()


class _JsonTable:
    """Rows that are JSON objects; they may differ in their fields, so one without a text fails."""

    form: str

    def __init__(self, source: TextSource, options: ReadOptions) -> None:
        """Look at the first rows.

        Raises:
            DataError: none is an object, or it cannot be told which field holds the texts.
        """
        self._source = source
        self._names: dict[str, None] = {}
        found = list(islice(self._parsed(), _SAMPLE_ROWS))
        objects = [row.fields for row in found if row.fields is not None]
        if not objects:
            if not found:
                raise DataError(_("it is empty"))
            raise DataError(
                _(
                    "it has no row that is a JSON object; a table is an array of objects, or one "
                    "a line"
                )
            )
        self._column = options.column or text_field(objects)
        self.understood = Understood(self.form, self._column, source.encoding.name)

    @property
    def names(self) -> Sequence[str]:
        """See ``Table.names``."""
        return tuple(self._names)

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        return (_with_text(row, self._column) for row in self._parsed())

    def value(self, row: Row, name: str) -> object:
        """See ``Table.value``; a field that rows lack is no error, since others may have it."""
        return _field(row.fields or {}, name)

    def values(self, row: Row) -> Sequence[object]:
        """See ``Table.values``."""
        fields = row.fields or {}
        return [fields.get(name) for name in self._names]

    def _parsed(self) -> Iterator[Row]:
        """Yield the rows without their texts, and remember the names of their fields."""
        for row in self._unread_rows():
            for name in row.fields or ():
                if name not in self._names and (
                    len(self._names) < _MAX_NAMES or name.casefold().endswith(ADDED_COLUMNS)
                ):
                    self._names[name] = None
            yield row

    def _unread_rows(self) -> Iterator[Row]:
        raise NotImplementedError


class JsonLines(_JsonTable):
    """A JSON object a line."""

    form = JSON_LINES

    def shown(self, row: Row) -> object:
        """See ``Table.shown``."""
        return self._source.shown(row.content)

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """See ``Table.write``."""
        file.write(self._source.mark)
        line_end = self._source.line_end
        for row in self.rows():
            if row.text is not None:
                line = extended_json(row.content, next(answers), added, self._source.encoding)
                file.write(line if line.endswith(line_end) else line + line_end)

    def _unread_rows(self) -> Iterator[Row]:
        number = 0
        for raw in self._source.lines():
            try:
                text = self._source.decode(raw)
            except UnicodeDecodeError:
                number += 1
                yield Row(number, None, self._source.not_decoded, raw)
                continue
            if text.strip():
                number += 1
                yield _parsed_line(number, raw, text)


class JsonArray(_JsonTable):
    """An array of JSON objects, laid out in any way; it is held in memory."""

    form = JSON_ARRAY

    def shown(self, row: Row) -> object:
        """See ``Table.shown``."""
        return str(row.content).encode(errors="backslashreplace").decode()

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """See ``Table.write``."""
        encoding = self._source.encoding
        file.write(self._source.mark)
        before = "["
        end = "]"
        for gap, content, fields in self._elements():
            if content is None:
                end = gap
            elif _with_text(_array_row(0, content, fields), self._column).text is not None:
                file.write(encoding.encode(before + gap))
                row = encoding.encode(content)
                file.write(extended_json(row, next(answers), added, encoding))
                before = ","
        file.write(encoding.encode(end if before == "," else f"[{end}"))

    def _unread_rows(self) -> Iterator[Row]:
        for number, (_gap, content, fields) in enumerate(self._elements(), start=1):
            if content is not None:
                yield _array_row(number, content, fields)

    def _elements(self) -> Iterator[tuple[str, str | None, object]]:
        """Yield what stands before an element, its text and its value; at last, the array's end.

        Raises:
            DataError: the file is too long, or not an array.
        """
        text = self._source.text(_MAX_ARRAY_BYTES)
        start = text.index("[") + 1
        number = 0
        while True:
            position = _behind_blanks(text, start)
            if number == 0 and text[position : position + 1] == "]":
                break
            number += 1
            try:
                value, end = _DECODER.raw_decode(text, position)
            except (ValueError, RecursionError):
                raise DataError(
                    _("its row {number} is not JSON; mend the file from there on").format(
                        number=number
                    )
                ) from None
            yield text[start:position], text[position:end], value
            start = end
            position = _behind_blanks(text, end)
            if text[position : position + 1] != ",":
                break
            start = position + 1
        if text[position : position + 1] != "]" or text[position + 1 :].strip():
            raise DataError(_("its array does not end after row {number}").format(number=number))
        yield text[start:], None, None


def is_array(source: TextSource) -> bool:
    """Return whether a file of JSON begins with an array of objects, rather than with an object."""
    start = source.start.lstrip()
    # Otherwise it is a line that is an array, among which there may be objects.
    return start.startswith("[") and start[1:].lstrip().startswith(_ELEMENT_STARTS)


def json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line holds, or ``None``."""
    try:
        value = parse_json(line)
    except LineError:
        return None
    return value if isinstance(value, dict) else None


def json_row(line: bytes, column: str) -> Row:
    """Return the row of a line in UTF-8."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Row(1, None, NOT_UTF8, line)
    return _with_text(_parsed_line(1, line, text), column)


def extended_json(
    content: bytes,
    answer: OutputColumns,
    added: Sequence[str] = ADDED_COLUMNS,
    encoding: Encoding = UTF_8,
) -> bytes:
    """Return bytes that hold a JSON object, unchanged but for the fields appended to it."""
    text = encoding.decode(content)
    unit = len(encoding.encode("}"))
    whole = text.rstrip()
    inside = whole[:-1].rstrip()
    behind = (len(text) - len(whole)) * unit
    kept = len(content) - (len(text) - len(inside)) * unit
    fields = json.dumps(dict(zip(added, answer, strict=True)), ensure_ascii=True)
    line_end = content[len(content) - behind :] if behind else b""
    return content[:kept] + encoding.encode(f", {fields[1:]}") + line_end


def _parsed_line(number: int, raw: bytes, text: str) -> Row:
    try:
        value = parse_json(text)
    except LineError as error:
        return Row(number, None, str(error), raw)
    if not isinstance(value, dict):
        return Row(number, None, _NOT_AN_OBJECT, raw)
    return Row(number, None, "", raw, value)


def _array_row(number: int, content: str, fields: object) -> Row:
    if has_lone_surrogate(content):
        return Row(number, None, "some of its bytes are not in the encoding of the file", content)
    if not isinstance(fields, dict):
        return Row(number, None, _NOT_AN_OBJECT, content)
    return Row(number, None, "", content, fields)


def _with_text(row: Row, column: str) -> Row:
    """Return a row with its text, or with the reason why it has none."""
    if row.fields is None:
        return row
    text = _field(row.fields, column)
    if not isinstance(text, str):
        problem = "is not a string" if text is not None else "is missing"
        return row._replace(reason=f"its {column} {problem}")
    if is_blank(text):
        return row._replace(reason=BLANK)
    if has_lone_surrogate(text):
        return row._replace(reason="the text holds half of a surrogate pair")
    return row._replace(text=text)


def _field(fields: dict[str, Any], name: str) -> object:
    """Return the value of a field, or of one inside others by a dotted name; or ``None``."""
    if name in fields:
        return fields[name]
    value: object = fields
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def text_field(objects: Sequence[dict[str, Any]]) -> str:
    """Return the dotted name of the field that holds the texts.

    Raises:
        DataError: it cannot be told.
    """
    flat = [dict(_flattened(fields)) for fields in objects]
    names = list(dict.fromkeys(name for fields in flat for name in fields))
    return names[text_column(names, [[fields.get(name, "") for name in names] for fields in flat])]


def _flattened(
    fields: dict[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield the dotted names of fields and of those inside them, and their values as text."""
    for name, value in fields.items():
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _flattened(value, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", "" if isinstance(value, list) else as_text(value)


def _behind_blanks(text: str, start: int) -> int:
    return _BLANKS.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing too
