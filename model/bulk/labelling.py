"""Tables with an answer beside each row: CSV, TSV, JSON lines and Parquet, of any length.

A run reads its file three times, the last two of which cost hardly anything beside the answers:
first it counts the rows and sets aside those that cannot be answered, then it appends the
probabilities of each of the others to ``OUTPUT.partial``, 24 bytes a row, and at the end it writes
the output from both. So an interruption leaves nothing but answers without a gap, and a run that
resumes goes on behind the last whole chunk of them: it gives the output of a run in one go.

CSV is read by the standard library and not by pyarrow: a row's own bytes go into the output, with
its quotes and its line end, which a parser that gives columns of values cannot restore. One row
that is broken is then one row, too.
"""

import csv
import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

import numpy as np

from model.bulk.outputs import Outputs, commit
from model.bulk.ray_classifier import RayClassifier, Scores
from model.classifier import CHUNK_TEXTS, Classifier, Prediction
from model.config import LABELS, Label
from model.errors import BLANK, DataError, one_line
from model.files import csv_rows
from model.progress import Progress
from model.text.pipeline import is_blank

COLUMN: Final = "text"
ADDED: Final = ("label", "confidence", *LABELS)

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
SUFFIXES: Final = (*_DELIMITERS, *_JSON_LINES, _PARQUET)

_BYTE_ORDER_MARK = "\ufeff"
_NOT_UTF8 = "it is not UTF-8"
# Rows of a Parquet file that are in memory together, and a row group of the output.
_GROUP_ROWS = 16_384
_ANSWER_BYTES = len(LABELS) * np.dtype(np.float64).itemsize
_BAR_WIDTH = 40


class Row(NamedTuple):
    """A row: its text, or the reason why it has none, and what stands in the file."""

    text: str | None
    reason: str
    content: Any


class OutputColumns(NamedTuple):
    """What is added to a row, in the order of ``ADDED``."""

    label: Label
    confidence: float
    positive: float
    neutral: float
    negative: float


class Table(Protocol):
    """A file of rows."""

    def rows(self) -> Iterator[Row]:
        """All rows, from the first on."""
        ...

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns]) -> None:
        """Writes the rows that have a text, each with the next answer."""
        ...


@dataclass(frozen=True)
class Summary:
    """What became of a table's rows."""

    labels: Mapping[Label, int]
    failed: int
    output: Path
    errors: Path

    def report(self) -> str:
        """A table of the labels, their shares as bars, and where the rest is."""
        answered = sum(self.labels.values())
        lines = []
        for label, count in self.labels.items():
            share = count / answered if answered else 0.0
            bar = "█" * round(share * _BAR_WIDTH)
            lines.append(f"{label:8}  {count:>12,}  {share:6.1%}  {bar}".rstrip())
        lines.append(f"{'answered':8}  {answered:>12,}  in {self.output}")
        if self.failed:
            lines.append(f"{'failed':8}  {self.failed:>12,}  in {self.errors}, with the reasons")
        return "\n".join(lines)


def label_table(
    classifier: Classifier | RayClassifier,
    path: Path,
    output: Path | None = None,
    column: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> Summary:
    """Answers each row of a table, in constant memory.

    Args:
        classifier: what answers, on this machine or on those of a cluster.
        path: the table; its suffix tells its kind.
        output: of the same kind; by default ``NAME.labelled.EXT``. Rows that cannot be answered
            are left out of it and stand in ``NAME.errors.jsonl`` beside it.
        column: holds the texts; by default ``text`` or, but for JSON lines, the only one.
        resume: go on where an earlier run with the same arguments was interrupted, if one was.
        force: replace what is there.

    Raises:
        DataError: the table or its column cannot be read, the output is there already or of
            another kind, there is no room for it, or the earlier run was another one.
    """
    output = output or path.with_name(f"{path.stem}.labelled{path.suffix}")
    errors = output.with_name(f"{output.stem.removesuffix('.labelled')}.errors.jsonl")
    if _kind(output) != _kind(path):
        raise DataError(
            f"{output} is of another kind than {path}, and tables are not converted; name it "
            f"*{path.suffix}"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    for file in (output, errors):
        if file.exists() and file.samefile(path):
            raise DataError(f"{file} is the table itself; name another output")
    table = open_table(path, column)
    before = path.stat()
    run = {
        "file": [before.st_size, before.st_mtime_ns],
        "column": column,
        "model": classifier.artifact.digest,
        "engine": classifier.engine_name,
        "words": hashlib.sha256(repr(astuple(classifier.words)).encode()).hexdigest(),
    }
    labels = Counter(dict.fromkeys(LABELS, 0))
    with Outputs(output, errors, run, resume=resume, force=force) as outputs:
        total, failed = _survey(table, outputs)
        _answer(classifier, table, outputs.answers, total)
        now = path.stat()
        if [now.st_size, now.st_mtime_ns] != run["file"]:
            raise DataError(f"{path} has changed while it was read; begin anew with --force")
        with outputs.new_output() as unfinished:
            table.write(unfinished, _count(_read_answers(outputs.answers), labels))
            commit(unfinished)
        outputs.finish()
    return Summary(labels, failed, output, errors)


def open_table(path: Path, column: str | None) -> Table:
    """The table in a file, whose suffix tells its kind.

    Raises:
        DataError: it cannot be read, or has no such column.
    """
    kind = _kind(path)
    if kind == _PARQUET:
        return _ParquetTable(path, column)
    if kind in _JSON_LINES:
        return _JsonTable(path, column)
    return _DelimitedTable(path, column, _DELIMITERS[kind])


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is no table; its name must end in one of {', '.join(SUFFIXES)}")
    return _JSON_LINES[0] if suffix in _JSON_LINES else suffix


def _survey(table: Table, outputs: Outputs) -> tuple[int, int]:
    """How many rows can be answered and how many cannot, which are written with their reason."""
    total = failed = 0
    with outputs.new_errors() as file:
        for number, row in enumerate(table.rows(), start=1):
            if row.text is not None:
                total += 1
                continue
            failed += 1
            content = row.content
            if isinstance(content, bytes):
                content = content.decode(errors="backslashreplace").rstrip("\r\n")
            line = {"row": number, "reason": row.reason, "content": content}
            # Whatever is no JSON (dates, bytes) is told as Python shows it.
            file.write(f"{json.dumps(line, ensure_ascii=False, default=str)}\n".encode())
    if not failed:
        outputs.drop_errors()
    return total, failed


def _answer(
    classifier: Classifier | RayClassifier, table: Table, answers: BinaryIO, total: int
) -> None:
    """Appends what is missing of the answers."""
    start = answers.tell()
    done = min(total, (answers.seek(0, os.SEEK_END) - start) // _ANSWER_BYTES)
    if done < total:  # whole chunks, so that the same texts run together as in one go
        done -= done % CHUNK_TEXTS
    answers.truncate(start + done * _ANSWER_BYTES)
    if done < total:
        answers.seek(0, os.SEEK_END)
        texts = (row.text for row in table.rows() if row.text is not None)
        with Progress("rows", total, done) as progress:
            predictions: Iterator[Prediction | Scores] = classifier.predict(
                islice(texts, done, None), progress
            )
            while chunk := [p.probabilities for p in islice(predictions, CHUNK_TEXTS)]:
                answers.write(np.array(chunk, np.float64).tobytes())
                commit(answers)
    answers.seek(start)


def _read_answers(answers: BinaryIO) -> Iterator[OutputColumns]:
    while chunk := answers.read(CHUNK_TEXTS * _ANSWER_BYTES):
        for shares in np.frombuffer(chunk).reshape(-1, len(LABELS)).tolist():
            yield output_columns(shares)


def output_columns(shares: Sequence[float]) -> OutputColumns:
    """What is added to a row whose labels have these probabilities."""
    confidence = max(shares)
    label = LABELS[shares.index(confidence)]
    return OutputColumns(label, *(round(value, 6) for value in (confidence, *shares)))


def _count(answers: Iterable[OutputColumns], labels: Counter[Label]) -> Iterator[OutputColumns]:
    for answer in answers:
        labels[answer.label] += 1
        yield answer


def _check_names(names: Iterable[str], path: Path) -> None:
    if taken := [name for name in ADDED if name in names]:
        raise DataError(f"{path} has a column {taken[0]} already; rename it first")


def _choose(column: str | None, names: Sequence[str], path: Path) -> str:
    """The column of the texts, once nothing stands in the way of those that are added."""
    _check_names(names, path)
    chosen = column or (names[0] if len(names) == 1 else COLUMN)
    if names.count(chosen) != 1:
        how_often = "more than one column" if chosen in names else "no column"
        raise DataError(
            f"{path} has {how_often} {one_line(chosen)}; --column names one of "
            f"{one_line(', '.join(names))}"
        )
    return chosen


class _Lines:
    """The lines of a file for ``csv.reader``, which remembers those of the row that is open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._again: deque[bytes] = deque()
        self.taken: list[bytes] = []
        self.broken = False  # whether one of them is not UTF-8

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        first = not self._file.tell() if not self._again else False
        line = self._again.popleft() if self._again else self._file.readline()
        if not line:
            raise StopIteration
        self.taken.append(line)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self.broken = True
            text = line.decode(errors="replace")
        return text.removeprefix(_BYTE_ORDER_MARK) if first else text

    def begin(self) -> None:
        """A new row."""
        self.taken.clear()
        self.broken = False

    def give_back(self) -> bytes:
        """Only the first line of what was read as a row is bad; the others are read once more."""
        first, *others = self.taken
        self._again.extendleft(reversed(others))
        return first


class _DelimitedTable:
    """CSV or TSV, with a header."""

    def __init__(self, path: Path, column: str | None, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter
        with path.open("rb") as file:
            self._head, header = next(self._records(file), (b"", "it is empty"))
        if isinstance(header, str):
            raise DataError(f"the header of {path} cannot be read: {header}")
        self._fields = len(header)
        self._index = header.index(_choose(column, header, path))

    def rows(self) -> Iterator[Row]:
        with self._path.open("rb") as file:
            for raw, fields in islice(self._records(file), 1, None):
                if isinstance(fields, str):
                    yield Row(None, fields, raw)
                elif len(fields) != self._fields:
                    reason = f"{len(fields)} fields, where the header has {self._fields}"
                    yield Row(None, reason, raw)
                elif is_blank(fields[self._index]):
                    yield Row(None, BLANK, raw)
                else:
                    yield Row(fields[self._index], "", raw)

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns]) -> None:
        file.write(self._extended(self._head, ADDED))
        for row in self.rows():
            if row.text is not None:
                label, *numbers = next(answers)
                added = [label, *(f"{number:.6f}" for number in numbers)]
                file.write(self._extended(row.content, added))

    def _records(self, file: BinaryIO) -> Iterator[tuple[bytes, list[str] | str]]:
        """Each row's own bytes, and its fields or the reason why it has none; no blank lines."""
        lines = _Lines(file)
        # Strict: a quote that is never closed is an error and does not swallow the rest.
        reader = csv_rows(lines, self._delimiter)
        while True:
            lines.begin()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield lines.give_back(), str(error)
                continue
            if lines.broken:
                yield b"".join(lines.taken), _NOT_UTF8
            elif fields:
                yield b"".join(lines.taken), fields

    def _extended(self, raw: bytes, added: Sequence[str]) -> bytes:
        row = raw.rstrip(b"\r\n")
        end = raw[len(row) :] or b"\n"
        return row + "".join(f"{self._delimiter}{field}" for field in added).encode() + end


def is_json_object(line: bytes) -> bool:
    """Whether a line is a JSON object."""
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(line.decode()), dict)
    return False


def json_row(line: bytes, column: str) -> Row:
    """The row that a JSON line is."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        return Row(None, _NOT_UTF8, line)
    except (ValueError, RecursionError):  # or a number of thousands of digits, or too deep
        return Row(None, "it is not JSON", line)
    if not isinstance(value, dict):
        return Row(None, "it is no JSON object", line)
    if taken := [name for name in ADDED if name in value]:
        return Row(None, f"it has a field {taken[0]} already", line)
    text = value.get(column)
    if not isinstance(text, str):
        reason = f"its {column} is no string" if column in value else f"it has no field {column}"
        return Row(None, reason, line)
    if is_blank(text):
        return Row(None, BLANK, line)
    with suppress(UnicodeEncodeError):
        text.encode()
        return Row(text, "", line)
    return Row(None, "the text holds half of a surrogate pair", line)


def extended_json(line: bytes, answer: OutputColumns) -> bytes:
    """A JSON line that is an object, as it is, with the fields of an answer."""
    row = line.rstrip()
    end = line[len(row) :] or b"\n"
    added = json.dumps(dict(zip(ADDED, answer, strict=True)))
    return row[:-1].rstrip() + b", " + added[1:].encode() + end


class _JsonTable:
    """JSON lines."""

    def __init__(self, path: Path, column: str | None) -> None:
        self._path = path
        first = next(filter(is_json_object, self._lines()), None)
        if first is None:
            raise DataError(f"{path} has no line that is a JSON object")
        _check_names(json.loads(first), path)
        # Rows may differ in their fields, so one without this fails alone.
        self._column = column or COLUMN

    def rows(self) -> Iterator[Row]:
        return (json_row(line, self._column) for line in self._lines())

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns]) -> None:
        mark = _BYTE_ORDER_MARK.encode()
        with self._path.open("rb") as own:
            if own.read(len(mark)) == mark:
                file.write(mark)
        for row in self.rows():
            if row.text is not None:
                file.write(extended_json(row.content, next(answers)))

    def _lines(self) -> Iterator[bytes]:
        """Those that are not blank."""
        with self._path.open("rb") as file:
            mark = _BYTE_ORDER_MARK.encode()
            for number, line in enumerate(file):
                content = line if number else line.removeprefix(mark)
                if content.strip():
                    yield content


class _ParquetTable:
    """Parquet, read and written by pyarrow."""

    def __init__(self, path: Path, column: str | None) -> None:
        import pyarrow  # an extra of its own, for those alone who have such files
        import pyarrow.parquet

        self._arrow = pyarrow
        self._path = path
        with self._reading(), self._open() as file:
            self._schema = file.schema_arrow
            names = self._schema.names
        self._column = _choose(column, names, path)
        kind = self._schema.field(self._column).type
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        if kind not in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
            name = one_line(self._column)
            raise DataError(
                f"the column {name} of {path} holds no strings but {one_line(str(kind))}"
            )

    def rows(self) -> Iterator[Row]:
        for batch in self._batches():
            for index, (text, reason) in enumerate(self._texts(batch)):
                yield Row(text, reason, None if text else self._shown(batch, index))

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns]) -> None:
        arrow = self._arrow
        kinds = [arrow.string(), *[arrow.float64()] * (len(ADDED) - 1)]
        added = [arrow.field(name, kind) for name, kind in zip(ADDED, kinds, strict=True)]
        schema = self._schema
        for field in added:
            schema = schema.append(field)
        with arrow.parquet.ParquetWriter(file, schema) as writer:
            for batch in self._batches():
                readable = [text is not None for text, _ in self._texts(batch)]
                kept = batch.filter(arrow.array(readable))
                if not kept.num_rows:
                    continue
                columns = zip(*islice(answers, kept.num_rows), strict=True)
                for field, values in zip(added, columns, strict=True):
                    kept = kept.append_column(field, arrow.array(values, field.type))
                writer.write_batch(kept)

    def _texts(self, batch: Any) -> Iterator[tuple[str | None, str]]:
        """Each row's text, or ``None`` and the reason why it has none."""
        # As bytes, since Arrow does not check what calls itself a string.
        for content in batch.column(self._column).cast(self._arrow.binary()).to_pylist():
            if content is None:
                yield None, "it has no text"
                continue
            try:
                text = content.decode()
            except UnicodeDecodeError:
                yield None, _NOT_UTF8
                continue
            yield (None, BLANK) if is_blank(text) else (text, "")

    def _shown(self, batch: Any, index: int) -> dict[str, object]:
        """A row's values by column."""
        arrow = self._arrow
        row: dict[str, object] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            value = column[index]
            try:
                row[name] = value.as_py()
            except (ValueError, OverflowError):  # no UTF-8, or a time that Python cannot tell
                try:
                    content = value.cast(arrow.string()).cast(arrow.binary()).as_py()
                    row[name] = content.decode(errors="backslashreplace")
                except arrow.ArrowException:  # or such a value inside another
                    row[name] = column.slice(index, 1).to_string()
        return row

    def _open(self) -> Any:
        return self._arrow.parquet.ParquetFile(
            self._path,
            # Column chunks piece by piece: whole ones may be larger than all that we hold.
            buffer_size=2**20,
            pre_buffer=False,
            page_checksum_verification=True,
        )

    def _batches(self) -> Iterator[Any]:
        with self._reading(), self._open() as file:
            yield from file.iter_batches(batch_size=_GROUP_ROWS, use_threads=False)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Ends what Arrow finds wrong with a file in one sentence; some of it are ``OSError``s."""
        try:
            yield
        except (self._arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            problem = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
            raise DataError(
                f"{self._path} cannot be read as Parquet: {one_line(problem)}"
            ) from None
