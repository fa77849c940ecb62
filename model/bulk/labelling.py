"""Labels the rows of a table of any length, in a job that can be interrupted and resumed.

A run reads its file three times; the first and the last pass cost little next to the second. First
it counts the rows and sets aside those that cannot be classified. Then it appends the probabilities
of each of the others to ``OUTPUT.partial``, 32 bytes per row. At the end it writes the output from
both. An interruption therefore leaves probabilities without a gap, and a run that resumes continues
after their last whole chunk, so its output equals that of an uninterrupted run.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass
from gettext import gettext as _
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from model.artifact import Artifact
from model.bulk.forms import default_output, errors_path, open_table, packed_as, writer_of
from model.bulk.outputs import Outputs, commit
from model.bulk.source import named
from model.bulk.table import (
    DEFAULT_OPTIONS,
    OutputColumns,
    ReadOptions,
    Table,
    Understood,
    added_names,
    output_columns,
)
from model.classifier import CHUNK_TEXTS
from model.config import LABELS, Label
from model.errors import DataError, UnansweredError
from model.progress import Progress
from model.text.custom_words import CustomWords

logger = logging.getLogger(__name__)

# The probabilities of a row, and whether its answer is uncertain.
_ROW_BYTES = (len(LABELS) + 1) * np.dtype(np.float64).itemsize
_BAR_WIDTH = 40


class Scored(Protocol):
    """What bulk work needs of a prediction."""

    @property
    def probabilities(self) -> tuple[float, ...]:
        """In the order of ``LABELS``."""
        ...

    @property
    def uncertain(self) -> bool:
        """Whether a person should look at the text."""
        ...


class BulkClassifier(Protocol):
    """Classifies many texts: a ``Classifier`` on this machine, a ``RayClassifier`` on several."""

    artifact: Artifact
    words: CustomWords

    @property
    def engine_name(self) -> str:
        """The name of the engine that runs the network."""
        ...

    def predict(self, texts: Iterable[str], progress: Progress | None = None) -> Iterator[Scored]:
        """Yield the predictions for texts, in order and in constant memory."""
        ...


@dataclass(frozen=True)
class Summary:
    """What became of a table's rows.

    Attributes:
        labels: how many rows got each.
        uncertain: how many of these answers are uncertain.
        failed: how many rows could not be classified.
        output: the table that was written.
        errors: the file of rows that failed, if any did.
        understood: how the table was read.
    """

    labels: Mapping[Label, int]
    uncertain: int
    failed: int
    output: Path
    errors: Path
    understood: Understood

    @property
    def answered(self) -> int:
        """How many rows were classified."""
        return sum(self.labels.values())

    def report(self) -> str:
        """Return a table of the labels, their shares as bars, and where the rows are."""
        lines = []
        for label, count in self.labels.items():
            share = count / self.answered
            bar = "█" * round(share * _BAR_WIDTH)
            lines.append(f"{_(label):9}  {count:>12,}  {share:6.1%}  {bar}".rstrip())
        share = self.uncertain / self.answered
        uncertain, answered, failed = _("uncertain"), _("answered"), _("failed")
        lines.append(f"{uncertain:9}  {self.uncertain:>12,}  {share:6.1%}")
        where = _("in {path}").format(path=self.output)
        lines.append(f"{answered:9}  {self.answered:>12,}  {where}")
        if self.failed:
            where = _("in {path}, with the reasons").format(path=self.errors)
            lines.append(f"{failed:9}  {self.failed:>12,}  {where}")
        return "\n".join(lines)


def label_table(
    classifier: BulkClassifier,
    path: Path,
    output: Path | None = None,
    options: ReadOptions = DEFAULT_OPTIONS,
    *,
    prefix: str | None = None,
    resume: bool = False,
    force: bool = False,
) -> Summary:
    """Classify each row of a table; in constant memory, but for arrays of JSON.

    Args:
        classifier: labels the rows.
        path: the table; its suffix and content name its form.
        output: ``NAME.labelled.EXT`` by default; another suffix converts. Rows that cannot be
            classified are left out of it, except in workbooks, and go to ``NAME.errors.jsonl``.
        options: how to read the table.
        prefix: stands before the names of the added columns; see ``added_names``.
        resume: continue an earlier run with the same arguments, if one was interrupted.
        force: replace existing output.

    Raises:
        DataError: the table cannot be read, none of its rows can be classified, the output exists
            or cannot be written in its form, the disk is full, or the earlier run had other
            arguments.
    """
    table = open_table(path, options)
    output = output or default_output(path, table)
    errors = errors_path(output)
    write = writer_of(table, path, output)
    for written in (output, errors):
        if written.exists() and written.samefile(path):
            raise DataError(
                _("{written} is the table itself; name another output").format(written=written)
            )
    version = _file_version(path)
    with named(path):
        _check_answerable(table)
    labels = Counter(dict.fromkeys(LABELS, 0))
    doubts = Counter({True: 0})
    run = _identity(classifier, version, options, prefix)
    with Outputs(output, errors, run, resume=resume, force=force) as outputs:
        with named(path):
            total, failed = _set_aside_bad_rows(table, outputs)
            logger.info(_("%s: %s, %d rows"), path.name, table.understood, total + failed)
            added = added_names(table.names, prefix)
            _classify(classifier, table, outputs.answers, total)
            if _file_version(path) != version:
                raise UnansweredError(_("it changed during the run; start over with --force"))
            with outputs.new_output() as unfinished:
                answers = _counted(_read_answers(outputs.answers), labels, doubts)
                with packed_as(output, unfinished) as file:
                    write(table, file, answers, added)
                commit(unfinished)
        outputs.finish()
    return Summary(labels, doubts[True], failed, output, errors, table.understood)


def _identity(
    classifier: BulkClassifier, version: list[int], options: ReadOptions, prefix: str | None
) -> dict[str, object]:
    """Return what a run that resumes must have in common with the one that was interrupted."""
    return {
        "file": version,
        **asdict(options),
        "prefix": prefix,
        "model": classifier.artifact.digest,
        "engine": classifier.engine_name,
        "words": hashlib.sha256(repr(astuple(classifier.words)).encode()).hexdigest(),
    }


def _file_version(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _check_answerable(table: Table) -> None:
    """Raise ``DataError`` if no row can be classified; most tables are read for a row or two."""
    reasons: Counter[str] = Counter()
    for row in table.rows():
        if row.text is not None:
            return
        reasons[row.reason] += 1
    if not reasons:
        raise UnansweredError(_("it has no rows"))
    (reason, _count), *others = reasons.most_common()
    more = _(" (others: {count} further reasons)").format(count=len(others)) if others else ""
    raise UnansweredError(
        _(
            "none of its {total:,} rows can be classified: {reason}{more}; it was read as "
            "{understood}"
        ).format(total=reasons.total(), reason=_(reason), more=more, understood=table.understood)
    )


def _set_aside_bad_rows(table: Table, outputs: Outputs) -> tuple[int, int]:
    """Write the rows that cannot be classified, and return the number of good and bad rows."""
    total = failed = 0
    with outputs.new_errors() as file:
        for row in table.rows():
            if row.text is not None:
                total += 1
                continue
            failed += 1
            line = {"row": row.number, "reason": row.reason, "content": table.shown(row)}
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
        with Progress(_("rows"), total, done) as progress:
            predictions = classifier.predict(islice(texts, done, None), progress)
            scores = ([*each.probabilities, each.uncertain] for each in predictions)
            while chunk := list(islice(scores, CHUNK_TEXTS)):
                answers.write(np.array(chunk, np.float64).tobytes())
                commit(answers)
    answers.seek(start)


def _read_answers(answers: BinaryIO) -> Iterator[OutputColumns]:
    while chunk := answers.read(CHUNK_TEXTS * _ROW_BYTES):
        for *probabilities, uncertain in np.frombuffer(chunk).reshape(-1, len(LABELS) + 1).tolist():
            yield output_columns(probabilities, bool(uncertain))


def _counted(
    columns: Iterable[OutputColumns], labels: Counter[Label], doubts: Counter[bool]
) -> Iterator[OutputColumns]:
    for each in columns:
        labels[each.label] += 1
        doubts[each.uncertain] += 1
        yield each
