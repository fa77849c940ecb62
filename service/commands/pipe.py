"""What arrives on a pipe: lines of text, JSON or a delimited table, answered while it arrives.

Every answer is a JSON object on a line of its own: beside the text, or among the fields of its row.
"""

import codecs
import json
import re
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from gettext import gettext as _
from io import BufferedReader
from itertools import chain, count, islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from model import DataError
from model.bulk.delimited import delimited_row, sep_line
from model.bulk.encodings import UTF_8, UTF_16_BE, UTF_16_LE, Encoding, find_encoding
from model.bulk.json_rows import JsonArray, extended_json, json_object, json_row, text_field
from model.bulk.layout import DELIMITERS, find_delimiter, find_layout, is_plain_header
from model.bulk.source import TextSource
from model.bulk.table import (
    CSV,
    JSON_LINES,
    TEXT_LINES,
    ReadOptions,
    Row,
    Understood,
    added_names,
    output_columns,
)
from model.errors import BLANK, json_line, printable
from model.files import csv_records
from model.lines import LineSplitter
from model.text.pipeline import is_blank
from service.problems import problem
from service.schemas import Sentiment, sentiment_fields

if TYPE_CHECKING:
    from model import Classifier, Prediction

# Maximum read at once.
_READ_BYTES: Final = 64 * 1024
# What the first bytes of a text do not hold: those of workbooks, archives and Parquet do.
_NO_TEXT: Final = re.compile(rb"[^\x00-\x08\x0e-\x1a\x1c-\x1f]{0,7}[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Stands for the reason, which names an encoding that is found only when a row needs it.
_NOT_DECODED: Final = "not decoded"
_SAMPLE_ROWS: Final = 200


class Answers:
    """Answers texts in their order, some together, and counts them."""

    def __init__(self, classifier: "Classifier") -> None:
        self.answered = self.failed = 0
        self._classifier = classifier
        self._waiting: list[_Item] = []

    def add(self, item: "_Item") -> None:
        """Have an item answered by the next ``write``."""
        self._waiting.append(item)

    def write(self) -> None:
        """Print the answers of what was added since the last time."""
        texts = (item.text for item in self._waiting if item.text is not None)
        predictions = self._classifier.predict(texts)
        for item in self._waiting:
            if item.text is None:
                self.failed += 1
                error = problem(422, item.reason).model_dump(exclude_none=True)
                line = json_line({**item.shown, "error": error})
            else:
                self.answered += 1
                line = item.answer(next(predictions))
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        self._waiting.clear()


class _Item(NamedTuple):
    """A text to answer and how its answer is written; or the reason why there is none.

    ``shown`` is what stands beside an error.
    """

    text: str | None
    reason: str
    shown: Mapping[str, object]
    answer: Callable[["Prediction"], str] = lambda _: ""


def text_item(text: str, shown: Mapping[str, object] = {}) -> _Item:
    """Return the item of a text that stands alone."""

    def answer(prediction: "Prediction") -> str:
        fields = Sentiment(**sentiment_fields(prediction)).model_dump()
        return json_line({"input": text, **fields})

    blank = is_blank(text)
    return _Item(None if blank else text, BLANK, {**shown, "input": text}, answer)


def answer_pipe(
    answers: Answers, file: BufferedReader, options: ReadOptions, prefix: str | None
) -> None:
    """Answer what has arrived, then what arrived meanwhile, until the end.

    Raises:
        DataError: it is no text, or it cannot be told how it is laid out.
    """
    pipe = _Pipe(file, options.encoding, answers.write)
    for item in _items(pipe, options, prefix):
        answers.add(item)
    answers.write()
    if not answers.answered and not answers.failed:
        _tell(_("nothing to answer has arrived"))


class _Pipe:
    """The lines of a pipe, and their encoding once a line holds more than ASCII."""

    def __init__(
        self, file: BufferedReader, encoding: str | None, before_waiting: Callable[[], None]
    ) -> None:
        self.arrived: deque[bytes] = deque()
        self._file = file
        self._before_waiting = before_waiting
        self._splitter = LineSplitter()
        self._ended = False
        self._encoding: Encoding | None = None
        self._wide: codecs.IncrementalDecoder | None = None
        self._begin(encoding)

    @property
    def encoding_name(self) -> str | None:
        """What the encoding is called, as far as it is known."""
        return self._encoding and self._encoding.name

    @property
    def not_decoded(self) -> str:
        """The reason why a line cannot be read."""
        return f"the bytes are not {self.encoding_name}"

    def lines(self) -> Iterator[bytes]:
        """Yield the lines with their ends; those of UTF-16 are in UTF-8."""
        while self.arrived or not self._ended:
            while self.arrived:
                yield self.arrived.popleft()
            if not self._ended:
                self._before_waiting()
                # Returns what is there, and waits only if that is nothing.
                self._split(self._file.read1(_READ_BYTES))

    def decode(self, line: bytes) -> str:
        """Return the text of a line.

        Raises:
            UnicodeDecodeError: it is not in the encoding.
        """
        if self._encoding is None:
            if line.isascii():
                return line.decode()
            self._encoding = find_encoding(b"".join([line, *self.arrived]))
        return (UTF_8 if self._wide else self._encoding).decode(line)

    def _begin(self, given: str | None) -> None:
        start = b""
        while part := self._file.read1(_READ_BYTES):
            start += part
            if len(start) >= len(codecs.BOM_UTF32_LE) or part.endswith(b"\n"):
                break
        found = find_encoding(start, False, given)
        has_mark = bool(found.mark) and start.startswith(found.mark)
        if found.codec in (UTF_16_LE.codec, UTF_16_BE.codec):
            self._wide = codecs.getincrementaldecoder(found.codec)("surrogatepass")
        elif _NO_TEXT.match(start):
            raise DataError(_("it is no text; name the file instead: sentiment predict FILE"))
        if has_mark or given is not None or self._wide:
            self._encoding = found
        self._split(start[len(found.mark) :] if has_mark else start)

    def _split(self, part: bytes) -> None:
        self._ended = not part
        if self._wide:
            text = self._wide.decode(part, final=self._ended)
            part = text.encode("utf-8", "surrogatepass")
        for line in self._splitter.split(part, last=self._ended):
            assert line is not None  # no length is the maximum
            self.arrived.append(line if self._ended else line + b"\n")


def _items(pipe: _Pipe, options: ReadOptions, prefix: str | None) -> Iterator[_Item]:
    """Yield the items of a pipe in whichever form it has."""
    lines = pipe.lines()
    before: list[bytes] = []
    for line in lines:
        before.append(line)
        if line.strip():
            break
    first = before[-1] if before else b""
    lines = chain(before, lines)
    try:
        text = pipe.decode(first)
    except UnicodeDecodeError:
        text = ""
    is_array = text.lstrip()[:1] == "[" and text.lstrip(" [\t\r\n")[:1] in ("", "{", '"', "]")
    if is_array or json_object(text.encode()) is not None:
        if options.delimiter or options.header is not None:
            raise DataError(_("it is JSON, which --delimiter and --no-header do not go with"))
        yield from (_array if is_array else _json_lines)(pipe, lines, options, prefix)
    elif (
        options.column
        or options.delimiter
        or options.header is not None
        or sep_line(pipe.decode, first)
        or is_plain_header(text)
    ):
        yield from _delimited(pipe, lines, first, options, prefix)
    elif prefix is not None:
        raise DataError(_("it is lines of text, which have no columns for --prefix"))
    else:
        yield from _texts(pipe, lines)


def _texts(pipe: _Pipe, lines: Iterable[bytes]) -> Iterator[_Item]:
    told = False
    for number, line in enumerate(lines, start=1):
        try:
            text = pipe.decode(line).rstrip("\r\n")
            if not told and pipe.encoding_name not in (None, UTF_8.name):
                _tell(_(", ").join([_(TEXT_LINES), pipe.encoding_name or ""]))
                told = True
        except UnicodeDecodeError:
            yield _Item(None, pipe.not_decoded, {"line": number})
        else:
            yield text_item(text, {"line": number})


def _json_lines(
    pipe: _Pipe, lines: Iterable[bytes], options: ReadOptions, prefix: str | None
) -> Iterator[_Item]:
    column, added = options.column, None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        shown = {"line": number}
        try:
            content = pipe.decode(line).strip().encode()
        except UnicodeDecodeError:
            yield _Item(None, pipe.not_decoded, shown)
            continue
        if added is None:
            objects = [each for each in map(json_object, (content, *pipe.arrived)) if each]
            column = column or text_field(objects)
            added = added_names([name for each in objects for name in each], prefix)
            _tell(Understood(JSON_LINES, column, pipe.encoding_name))
        yield _json_item(json_row(content, column or ""), content, added, shown)


def _json_item(
    row: Row, content: bytes, added: Sequence[str], shown: Mapping[str, object]
) -> _Item:
    if row.text is not None and (taken := [name for name in added if name in row.fields]):
        reason = f"it has a field {taken[0]}, as no row before; give a --prefix"
        return _Item(None, reason, shown)

    def answer(prediction: "Prediction") -> str:
        columns = output_columns(prediction.probabilities, prediction.uncertain)
        return extended_json(content, columns, added).decode()

    return _Item(row.text, row.reason, shown, answer)


def _array(
    pipe: _Pipe, lines: Iterable[bytes], options: ReadOptions, prefix: str | None
) -> Iterator[_Item]:
    """Yield the items of an array of objects, which are one text and so read to their end."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.writelines(lines)
        file.flush()
        # UTF-16 has become UTF-8 by now.
        encoding = None if pipe.encoding_name == UTF_16_LE.name else pipe.encoding_name
        table = JsonArray(TextSource(Path(file.name), encoding), options)
        rows = list(table.rows())
    added = added_names(table.names, prefix)
    _tell(table.understood)
    for row in rows:
        content = json.dumps(row.fields, ensure_ascii=False).encode()
        yield _json_item(row, content, added, {"row": row.number})


def _delimited(
    pipe: _Pipe, lines: Iterator[bytes], first: bytes, options: ReadOptions, prefix: str | None
) -> Iterator[_Item]:
    """Yield the items of a table, laid out as the rows that have arrived show.

    Raises:
        DataError: that cannot be told.
    """
    told = sep_line(pipe.decode, first)
    skipped = 0
    if told:
        skipped = 1 + sum(not line.strip() for line in takewhile(lambda line: line != first, lines))
    sample = [*pipe.arrived] if told else [first, *pipe.arrived]

    def sampled(delimiter: str) -> list[Sequence[str]]:
        records = islice(csv_records(sample, delimiter, pipe.decode), _SAMPLE_ROWS)
        return [each.fields for each in records if not each.problem]

    delimiter = options.delimiter or told
    if delimiter is None:
        delimiter = find_delimiter({each: sampled(each) for each in DELIMITERS})
    rows = sampled(delimiter)
    if not rows:
        raise DataError(_("its first row cannot be read"))
    layout = find_layout(rows, options)
    added = added_names(layout.names, prefix)
    column = layout.names[layout.column]
    _tell(Understood(CSV, column, pipe.encoding_name, delimiter, layout.header))
    names = _unique(layout.names)
    records = csv_records(lines, delimiter, pipe.decode, _NOT_DECODED)
    for number, record in enumerate(islice(records, int(layout.header), None), start=1):
        row = delimited_row(number, record, names, layout.column)
        if row.reason == _NOT_DECODED:
            row = row._replace(reason=pipe.not_decoded)
        yield _delimited_item(row, names, added, {"line": skipped + record.line})


def _delimited_item(
    row: Row, names: Sequence[str], added: Sequence[str], shown: Mapping[str, object]
) -> _Item:
    def answer(prediction: "Prediction") -> str:
        columns = output_columns(prediction.probabilities, prediction.uncertain)
        fields = [*zip(names, row.fields, strict=True), *zip(added, columns, strict=True)]
        return json_line(dict(fields))

    return _Item(row.text, row.reason, shown, answer)


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names of columns as those of fields: of two alike, the second gets a number."""
    unique: list[str] = []
    for name in names:
        candidates = chain([name], (f"{name}_{number}" for number in count(2)))
        unique.append(next(each for each in candidates if each not in unique))
    return unique


def _tell(what: object) -> None:
    click.echo(_("standard input: {what}").format(what=printable(str(what))), err=True)
