"""Labels the rows of a table of any length, in a job that can be interrupted and resumed.

A run reads its file three times; the first and the last pass cost little next to the second. First
it counts the rows and sets aside those that cannot be classified. Then it appends the probabilities
of each of the others to ``OUTPUT.partial``, 24 bytes per row. At the end it writes the output from
both. An interruption therefore leaves probabilities without a gap, and a run that resumes continues
after their last whole chunk, so its output equals that of an uninterrupted run.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import numpy as np

from model.artifact import Artifact
from model.bulk.delimited import DelimitedTable
from model.bulk.json_lines import JsonTable
from model.bulk.outputs import Outputs, commit
from model.bulk.parquet import ParquetTable
from model.bulk.table import OutputColumns, Table, output_columns
from model.classifier import CHUNK_TEXTS
from model.config import LABELS, Label
from model.errors import DataError
from model.progress import Progress
from model.text.custom_words import CustomWords

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = ".parquet"
SUFFIXES: Final = (*_DELIMITERS, *_JSON_LINES, _PARQUET)

_ROW_BYTES = len(LABELS) * np.dtype(np.float64).itemsize
_BAR_WIDTH = 40


class WithProbabilities(Protocol):
    """A prediction, of which bulk work needs only the probabilities."""

    @property
    def probabilities(self) -> tuple[float, ...]:
        """In the order of ``LABELS``."""
        ...


class BulkClassifier(Protocol):
    """Classifies many texts: a ``Classifier`` on this machine, a ``RayClassifier`` on several."""

    artifact: Artifact
    words: CustomWords

    @property
    def engine_name(self) -> str:
        """The name of the engine that runs the network."""
        ...

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Iterator[WithProbabilities]:
        """Yield the predictions for texts, in order and in constant memory."""
        ...


@dataclass(frozen=True)
class Summary:
    """What became of a table's rows."""

    labels: Mapping[Label, int]
    failed: int
    output: Path
    errors: Path

    def report(self) -> str:
        """Return a table of the labels, their shares as bars, and where the rows are."""
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
    classifier: BulkClassifier,
    path: Path,
    output: Path | None = None,
    column: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> Summary:
    """Classify each row of a table, in constant memory.

    Args:
        classifier: labels the rows.
        path: the table; its suffix names its format.
        output: has the same format; ``NAME.labelled.EXT`` by default. Rows that cannot be
            classified are left out of it and go to ``NAME.errors.jsonl`` beside it.
        column: holds the texts; ``text`` by default or, except in JSON lines, the only column.
        resume: continue an earlier run with the same arguments, if one was interrupted.
        force: replace existing output.

    Raises:
        DataError: the table or its column cannot be read, the output exists or has another
            format, the disk is full, or the earlier run had other arguments.
    """
    output, errors = _output_paths(path, output)
    table = open_table(path, column)
    version = _file_version(path)
    run = {
        "file": version,
        "column": column,
        "model": classifier.artifact.digest,
        "engine": classifier.engine_name,
        "words": hashlib.sha256(repr(astuple(classifier.words)).encode()).hexdigest(),
    }
    labels = Counter(dict.fromkeys(LABELS, 0))
    with Outputs(output, errors, run, resume=resume, force=force) as outputs:
        total, failed = _set_aside_bad_rows(table, outputs)
        _classify(classifier, table, outputs.answers, total)
        if _file_version(path) != version:
            raise DataError(f"{path} changed during the run; start over with --force")
        with outputs.new_output() as unfinished:
            table.write(unfinished, _counted(_read_answers(outputs.answers), labels))
            commit(unfinished)
        outputs.finish()
    return Summary(labels, failed, output, errors)


def _output_paths(path: Path, output: Path | None) -> tuple[Path, Path]:
    """Return the paths of the output and of the rows that cannot be classified.

    Raises:
        DataError: there is no table, or one of the paths is the table's own.
    """
    output = output or path.with_name(f"{path.stem}.labelled{path.suffix}")
    errors = output.with_name(f"{output.stem.removesuffix('.labelled')}.errors.jsonl")
    if _format(output) != _format(path):
        raise DataError(
            f"{output} has another format than {path}, and tables are not converted; name it "
            f"*{path.suffix}"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    for file in (output, errors):
        if file.exists() and file.samefile(path):
            raise DataError(f"{file} is the table itself; name another output")
    return output, errors


def _file_version(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def open_table(path: Path, column: str | None) -> Table:
    """Return the table in a file, whose suffix names its format.

    Raises:
        DataError: it cannot be read, or has no such column.
    """
    suffix = _format(path)
    if suffix == _PARQUET:
        return ParquetTable(path, column)
    if suffix in _JSON_LINES:
        return JsonTable(path, column)
    return DelimitedTable(path, column, _DELIMITERS[suffix])


def _format(path: Path) -> str:
    """Return the suffix that stands for a table's format."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path} is not a table; its name must end in {', '.join(SUFFIXES)}")
    return _JSON_LINES[0] if suffix in _JSON_LINES else suffix


def _set_aside_bad_rows(table: Table, outputs: Outputs) -> tuple[int, int]:
    """Write the rows that cannot be classified, and return the number of good and bad rows."""
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
            # Values that JSON cannot hold, such as dates, are written as str() shows them.
            file.write(f"{json.dumps(line, ensure_ascii=False, default=str)}\n".encode())
    if not failed:
        outputs.drop_errors()
    return total, failed


def _classify(classifier: BulkClassifier, table: Table, answers: BinaryIO, total: int) -> None:
    """Append the missing probabilities to ``answers``, and seek to the first of all."""
    start = answers.tell()
    done = min(total, (answers.seek(0, os.SEEK_END) - start) // _ROW_BYTES)
    if done < total:  # whole chunks, so the same texts share a batch as in an uninterrupted run
        done -= done % CHUNK_TEXTS
    answers.truncate(start + done * _ROW_BYTES)
    if done < total:
        answers.seek(0, os.SEEK_END)
        texts = (row.text for row in table.rows() if row.text is not None)
        with Progress("rows", total, done) as progress:
            predictions = classifier.predict(islice(texts, done, None), progress)
            while chunk := [p.probabilities for p in islice(predictions, CHUNK_TEXTS)]:
                answers.write(np.array(chunk, np.float64).tobytes())
                commit(answers)
    answers.seek(start)


def _read_answers(answers: BinaryIO) -> Iterator[OutputColumns]:
    while chunk := answers.read(CHUNK_TEXTS * _ROW_BYTES):
        for probabilities in np.frombuffer(chunk).reshape(-1, len(LABELS)).tolist():
            yield output_columns(probabilities)


def _counted(columns: Iterable[OutputColumns], labels: Counter[Label]) -> Iterator[OutputColumns]:
    for each in columns:
        labels[each.label] += 1
        yield each
