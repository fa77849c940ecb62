"""Reads tables whose rows are labelled already: what own files train and are evaluated on."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from gettext import gettext as _
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from model.bulk.forms import open_table
from model.bulk.label_words import LabelWords, folded, understand
from model.bulk.source import named
from model.bulk.table import (
    ADDED_COLUMNS,
    DEFAULT_OPTIONS,
    JSON_ARRAY,
    JSON_LINES,
    ReadOptions,
    Row,
    Table,
    as_text,
    unique_index,
)
from model.config import LABELS
from model.errors import DataError, one_line

logger = logging.getLogger(__name__)

# What names of label columns contain; those that stand first are preferred.
_NAMES: Final = (
    *("label", "标签", "标注", "情感", "sentiment", "polarity", "极性", "倾向", "类别", "class"),
    *("星级", "评分", "rating", "stars", "star", "打分", "score"),
)
_OPTION = "--label-column"
_CONFIDENCE = "_confidence"  # ends the name of a column that is added behind a prefix
_SAMPLE_ROWS = 1000
# How often each value of a column occurs on average that is taken for labels without a name.
_LEAST_REPEATS = 2
# A column with more values holds no labels.
_MAX_VALUES = 20
NO_LABEL: Final = "there is no label"
LEFT_OUT: Final = "--labels leaves the label out"


class LabelledRow(NamedTuple):
    """A row: its number in the file, its text, and the index of its label."""

    number: int
    text: str
    label: int


@dataclass(frozen=True)
class LabelledRows:
    """The rows of a table that have a text and a label.

    Attributes:
        path: of the table.
        column: the column of the labels.
        rows: in the order of the file.
        words: what the labels are called, and how many rows have each.
        left_out: how many rows were left out for which reason.
    """

    path: Path
    column: str
    rows: Sequence[LabelledRow]
    words: LabelWords
    left_out: Mapping[str, int]

    @property
    def labels(self) -> set[int]:
        """The labels that occur."""
        return {row.label for row in self.rows}


def read_labelled(
    path: Path,
    options: ReadOptions = DEFAULT_OPTIONS,
    label_column: str | None = None,
    labels: Mapping[str, int | None] | None = None,
) -> LabelledRows:
    """Read the rows of a table with their labels, and log how they were understood.

    Rows without a text or label, or that cannot be read, are left out and counted.

    Args:
        path: a table in any form that ``open_table`` reads.
        options: how to read it.
        label_column: the name of the column of labels; found by its name and values if not given.
        labels: what labels mean, where that is not known; ``None`` for those to be left out.

    Raises:
        DataError: the table cannot be read, no column holds labels, or one is not known.
    """
    table = open_table(path, options)
    logger.info("%s: %s", path, table.understood)
    with named(path):
        column = label_column or _label_column(table, labels or {})
        texts, left_out = _texts_with_values(table, column)
        if not texts:
            why = _listed(left_out) or _("it has no rows")
            raise DataError(_("no row has both a text and a label: {why}").format(why=why))
        words = understand((value for _, _, value in texts), labels)
        _check_known(words, column)
        logger.info(_("labels in column %s: %s"), one_line(column), words.listed())
        _log_if_answers(table, column)
        known = {folded(value): label for value, label in words.labels.items()}
        rows = []
        for number, text, value in texts:
            label = known[folded(value)]
            if label is None:
                left_out[LEFT_OUT] += 1
            else:
                rows.append(LabelledRow(number, text, label))
        if left_out:
            logger.info(_("rows left out: %s"), _listed(left_out))
        return LabelledRows(path, column, rows, words, left_out)


def _listed(counts: Mapping[str, int]) -> str:
    return _(", ").join(
        _("{count:,} ({reason})").format(count=count, reason=_(reason))
        for reason, count in counts.items()
    )


def _texts_with_values(
    table: Table, column: str
) -> tuple[list[tuple[int, str, str]], Counter[str]]:
    """Return number, text and label of the rows that have both, and why others are left out."""
    texts = []
    left_out: Counter[str] = Counter()
    found = False
    if not _is_json(table):
        unique_index(table.names, column, _OPTION)
    for row in table.rows():
        value = _cell(table, row, column)
        found = found or bool(value)
        if row.text is None:
            left_out[row.reason] += 1
        elif not value:
            left_out[NO_LABEL] += 1
        else:
            texts.append((row.number, row.text, value))
    if not found and _is_json(table):  # all names are known by now
        unique_index(table.names, column, _OPTION)
    return texts, left_out


def _is_json(table: Table) -> bool:
    return table.understood.form in (JSON_LINES, JSON_ARRAY)


def _cell(table: Table, row: Row, column: str) -> str:
    return as_text(table.value(row, column)).strip()


def _check_known(words: LabelWords, column: str) -> None:
    if not words.unknown:
        return
    if len(words.counts) > _MAX_VALUES:
        raise DataError(
            _(
                "the column {column} has {counts:,} different values, which are no labels: "
                "{listed}; --label-column names another"
            ).format(column=one_line(column), counts=len(words.counts), listed=words.listed())
        )
    examples = ",".join(f"{value}=" for value in words.unknown[:3])
    raise DataError(
        _(
            "labels in column {column} are not known: {listed}; say by --labels {examples} "
            "whether each is {labels} (nothing leaves its rows out), or name another column by "
            "--label-column"
        ).format(
            column=one_line(column),
            listed=words.listed(),
            examples=one_line(examples),
            labels=", ".join(LABELS),
        )
    )


def _label_column(table: Table, labels: Mapping[str, int | None]) -> str:
    """Return the column whose name and values are those of labels.

    Raises:
        DataError: there is none, or several that are as good.
    """
    rows = list(islice(table.rows(), _SAMPLE_ROWS))
    columns = {name: _values(table, rows, name) for name in _candidates(table.names)}
    texts = table.understood.column
    words = {name: understand(values, labels) for name, values in columns.items() if name != texts}
    understood = [name for name, found in words.items() if found.counts and not found.unknown]
    called = [name for name in words if _rank(name) < len(_NAMES)]
    if best := sorted(set(called) & set(understood), key=lambda name: (_rank(name), name)):
        return best[0]
    if called:
        return min(called, key=_rank)  # its labels are refused, with a list of them
    if not words:
        raise DataError(
            _("it has no column but that of the texts; add one that holds their labels")
        )
    alone = len(words) == 1
    numeric = {name: all(map(_is_number, words[name].counts)) for name in understood}
    repeated = [name for name in understood if _repeats(words[name])]
    in_words = [name for name in (understood if alone else repeated) if not numeric[name]]
    for found in (in_words, repeated if alone else []):
        if len(found) == 1:
            return found[0]
    raise DataError(
        _(
            "it cannot be told which column holds the labels; --label-column names one of {words}"
        ).format(words=one_line(", ".join(words)))
    )


def _candidates(names: Sequence[str]) -> list[str]:
    """Return the names that can be looked up, without those of columns that predictions added."""
    counts = Counter(names)
    prefixes = [name.removesuffix(_CONFIDENCE) for name in names if name.endswith(_CONFIDENCE)]
    added = {f"{prefix}_{each}" for prefix in prefixes for each in ADDED_COLUMNS}
    return [name for name in names if counts[name] == 1 and name not in added]


def _values(table: Table, rows: Sequence[Row], name: str) -> list[str]:
    cells = (_cell(table, row, name) for row in rows if row.text is not None)
    return [cell for cell in cells if cell]


def _rank(name: str) -> int:
    """Return the place of a name's word in ``_NAMES``, or their number if it has none."""
    low = name.strip().casefold()
    return next((place for place, word in enumerate(_NAMES) if word in low), len(_NAMES))


def _repeats(words: LabelWords) -> bool:
    """Return whether values occur several times, as labels do and identifiers do not."""
    return sum(words.counts.values()) >= _LEAST_REPEATS * len(words.counts)


def _is_number(value: str) -> bool:
    return folded(value).lstrip("-").replace(".", "", 1).isdecimal()


def _log_if_answers(table: Table, column: str) -> None:
    """Say so if the labels may be the answers of a model, which nobody has looked at."""
    if column == ADDED_COLUMNS[0] and {*ADDED_COLUMNS} <= {*table.names}:
        logger.warning(
            _(
                "the column label was written by sentiment predict: unless someone has corrected "
                "it, it says what a model answered and not what is right"
            )
        )
