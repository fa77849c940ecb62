"""Labelled texts: read, stripped of what may not be trained on, and split."""

import csv
import gzip
import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.config import LABELS, NEUTRAL, DataConfig, SourceConfig, UnlabelledConfig
from model.errors import DataError, one_line
from model.files import NOT_UTF8, CsvRecord, csv_records
from model.text.pipeline import is_blank

logger = logging.getLogger(__name__)

_NO_LETTER = re.compile(r"[\W_]+")


UNLABELLED = -1  # the label of a text that only teachers label


@dataclass(frozen=True, slots=True)
class Example:
    """A text, the index of its label in ``LABELS``, and the set and group it comes from.

    ``weight`` multiplies its loss, besides the weight of its set. ``calibrates`` says whether it
    was drawn as users' texts are, so that as a dev row it may choose the best epoch, the
    temperature and the bound of ``uncertain`` (``SourceConfig.calibrate_on``).
    """

    text: str
    label: int
    source: str
    group: str = ""
    weight: float = 1.0
    calibrates: bool = True


@dataclass(frozen=True, slots=True)
class Splits:
    """The examples to train on, those of dev, and how many were left out for which reason."""

    train: list[Example]
    dev: list[Example]
    left_out: dict[str, int] = field(default_factory=dict)


def stripped_text(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return _NO_LETTER.sub("", text).lower()


def text_digest(text: str) -> str:
    """Return a SHA-1 that ignores punctuation and case."""
    stripped = stripped_text(text).encode("utf-8", "replace")
    return hashlib.sha1(stripped, usedforsecurity=False).hexdigest()


def text_key(text: str) -> str:
    """Return the first 16 digits of ``text_digest``, which blocklists consist of."""
    return text_digest(text)[:16]


_EMPTY_KEY = text_key("")


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file, gzipped if its name ends in ``.gz``, and their first lines.

    Raises:
        DataError: the file is missing, is not UTF-8 CSV, or has no column ``text``.
    """
    line = 1
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            records = csv_records(file)
            header = _checked_fields(next(records, CsvRecord(1, b"", [])), path)
            if "text" not in header:
                raise DataError(f"{path} line 1: the header must name a column text")
            for record in records:
                line = record.line
                fields = _checked_fields(record, path)
                if len(fields) != len(header):
                    raise DataError(
                        f"{path} line {line}: the row has {len(fields)} fields and the header "
                        f"{len(header)}"
                    )
                yield line, dict(zip(header, fields, strict=True))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}, after line {line}: {error}") from None


def _checked_fields(record: CsvRecord, path: Path) -> list[str]:
    if record.problem:
        hint = "; save the file as UTF-8" if record.problem == NOT_UTF8 else ""
        raise DataError(f"{path} line {record.line}: {record.problem}{hint}")
    return record.fields


def read_examples(path: Path, source: SourceConfig) -> list[Example]:
    """Return the labelled rows of a CSV file, in its order.

    The label is in the column ``polarity`` if the file has one, and may be empty there for a row
    whose original label maps to none of ours; that row is left out. Otherwise it is in ``label``.

    Raises:
        DataError: as ``read_rows``; or the set cannot have the label of a row, a text is blank,
            or a column that the configuration names is missing.
    """
    known = [label for label in LABELS if not (source.two_classes and label == LABELS[NEUTRAL])]
    needed = [*([source.group_column] if source.group_column else []), *source.calibrate_on]
    examples = []
    for line, row in read_rows(path):
        column = "polarity" if "polarity" in row else "label"
        if column not in row:
            raise DataError(f"{path} line 1: the header must name a column label")
        label = row[column].strip()
        blank = is_blank(row["text"])
        if column == "polarity" and (not label or blank):
            continue
        if label not in known:
            raise DataError(
                f"{path} line {line}: label {one_line(repr(label))} is not one of "
                f"{', '.join(known)}"
            )
        if blank:
            raise DataError(f"{path} line {line}: the text is blank")
        if missing := [name for name in needed if name not in row]:
            raise DataError(f"{path} line 1: the header must name a column {missing[0]}")
        examples.append(
            Example(
                row["text"],
                LABELS.index(label),
                source.name,
                row[source.group_column] if source.group_column else "",
                source.label_weights.get(row.get("label", label), 1.0),
                all(row[name] == value for name, value in source.calibrate_on.items()),
            )
        )
    return examples


def load_blocklist(config: DataConfig, directory: Path) -> frozenset[str]:
    """Return the keys of texts that no training may see.

    Raises:
        DataError: the file is missing or has no column ``sha1``.
    """
    if config.blocklist is None:
        return frozenset()
    path = directory / config.blocklist
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return frozenset(row["sha1"] for row in csv.DictReader(file))
    except (OSError, KeyError) as error:
        raise DataError(f"the blocklist {path} cannot be read: {error!r}") from None


def load_splits(config: DataConfig, directory: Path) -> Splits:
    """Load the train and dev examples of every set, without leaks between them or from tests.

    Left out of both: texts without a letter or digit, texts of any test split or of the sentences
    by kind, texts with contradicting labels, and duplicates, of which the set named first keeps
    its row. Also left out of train: texts of the blocklist and of any dev split. With
    ``published_splits`` every row stays where it was published.

    Raises:
        DataError: a file cannot be used, or nothing is left of a split.
    """
    if config.published_splits:
        splits = Splits(
            [row for source in config.sources for row in _sampled(source, directory)],
            [row for source in config.sources for row in _published_dev(source, directory)],
        )
        return _require_rows(splits)
    blocklist = load_blocklist(config, directory)
    test = {
        text_key(example.text)
        for source in config.sources
        for example in load_test(source, directory)
    }
    test |= {text_key(sentence.text) for sentence in load_kinds(config, directory)}
    train: list[tuple[str, Example]] = []
    dev: list[tuple[str, Example]] = []
    left_out = Counter[str]()

    for source in config.sources:
        dev += [(text_key(e.text), e) for e in _published_dev(source, directory)]
        for example in _sampled(source, directory):
            digest = text_digest(example.text)
            key = digest[:16]
            if key in blocklist:
                left_out["blocklisted"] += 1
            elif not source.dev and _split_digest(example, source) % config.dev_modulus == 0:
                dev.append((key, example))
            else:
                train.append((key, example))

    kept_dev = _deduplicated(dev, test, left_out)
    in_dev = {text_key(example.text) for example in kept_dev}
    left_out["in dev"] = sum(key in in_dev for key, _ in train)
    train = [(key, example) for key, example in train if key not in in_dev]
    splits = Splits(_deduplicated(train, test, left_out), kept_dev, dict(left_out))
    return _require_rows(splits)


def split_examples(examples: Sequence[Example], dev_modulus: int | None = None) -> Splits:
    """Return the distinct texts of one set; contradicting ones and those without a letter go.

    Args:
        examples: all of them, in the order of their file.
        dev_modulus: of the texts, those whose SHA-1 modulo this is 0 are held out; none without.
    """
    left_out = Counter[str]()
    train: list[Example] = []
    dev: list[Example] = []
    for example in _deduplicated([(text_key(e.text), e) for e in examples], set(), left_out):
        held_out = dev_modulus and int(text_digest(example.text), 16) % dev_modulus == 0
        (dev if held_out else train).append(example)
    return Splits(train, dev, dict(left_out))


_TWIN_CHARACTERS = 6


def _split_digest(example: Example, source: SourceConfig) -> int:
    """Return the number whose remainder decides whether a row is in dev; twins share it."""
    if source.twins:
        return int(text_digest(example.group + example.text[:_TWIN_CHARACTERS]), 16)
    return int(text_digest(example.text), 16)


def _require_rows(splits: Splits) -> Splits:
    if not splits.train or not splits.dev:
        raise DataError(
            f"{len(splits.train)} texts are left to train on and {len(splits.dev)} to choose the "
            "best epoch by; give more rows"
        )
    left_out = ", ".join(f"{count} {why}" for why, count in splits.left_out.items() if count)
    logger.info(
        "%d train, %d dev, left out: %s", len(splits.train), len(splits.dev), left_out or "none"
    )
    return splits


def _published_dev(source: SourceConfig, directory: Path) -> list[Example]:
    return [row for path in source.dev for row in read_examples(directory / path, source)]


def _deduplicated(
    rows: list[tuple[str, Example]], test: set[str], left_out: Counter[str]
) -> list[Example]:
    """Return one example per text, leaving out empty, tested and contradicting ones."""
    labels: dict[str, set[int]] = {}
    for key, example in rows:
        labels.setdefault(key, set()).add(example.label)
    kept: dict[str, Example] = {}
    for key, example in rows:
        if key == _EMPTY_KEY:
            left_out["empty"] += 1
        elif key in test:
            left_out["in test"] += 1
        elif len(labels[key]) > 1:
            left_out["contradicting"] += 1
        elif key in kept:
            left_out["duplicate"] += 1
        else:
            kept[key] = example
    return list(kept.values())


def _sampled(source: SourceConfig, directory: Path) -> Iterator[Example]:
    """Yield the train rows of a set, or the fixed share of them that its configuration keeps."""
    for path in source.train:
        for example in read_examples(directory / path, source):
            if _is_sampled(text_key(example.text), source.sample):
                yield example


def _is_sampled(key: str, share: float) -> bool:
    """Return whether a text is in a fixed share.

    The first digits of its key decide, so that it does not depend on the last, which choose dev.
    """
    return int(key[:6], 16) < share * 16**6


def load_test(source: SourceConfig, directory: Path) -> list[Example]:
    """Return all labelled rows of a set's test split, duplicates included, as published.

    Raises:
        DataError: a file cannot be used.
    """
    return [example for path in source.test for example in read_examples(directory / path, source)]


@dataclass(frozen=True, slots=True)
class KindSentence:
    """A test sentence, the kind of expression that it tries, and the indices of right labels."""

    kind: str
    text: str
    labels: frozenset[int]


def load_kinds(config: DataConfig, directory: Path) -> list[KindSentence]:
    """Return the sentences by kind: CSV with ``kind``, ``text`` and ``label``, or ``label|label``.

    An empty list if the configuration names no file or, with a log line, if it does not exist.

    Raises:
        DataError: the file cannot be used.
    """
    if config.kinds is None:
        return []
    path = directory / config.kinds
    if not path.exists():
        logger.info("%s does not exist: the kinds of expression are not measured", path)
        return []
    sentences = []
    for line, row in read_rows(path):
        if not {"kind", "label"} <= row.keys():
            raise DataError(f"{path} line 1: the header must name columns kind and label")
        names = row["label"].split("|")
        if unknown := [name for name in names if name not in LABELS]:
            raise DataError(
                f"{path} line {line}: label {one_line(repr(unknown[0]))} is not one of "
                f"{', '.join(LABELS)}"
            )
        right = frozenset(index for index, label in enumerate(LABELS) if label in names)
        sentences.append(KindSentence(row["kind"], row["text"], right))
    return sentences


def load_unlabelled(
    sources: Sequence[UnlabelledConfig], directory: Path, blocklist: frozenset[str]
) -> Iterator[str]:
    """Yield the distinct texts of the sets, without those that the blocklist names.

    Raises:
        DataError: a file cannot be used.
    """
    seen: set[str] = set()
    for source in sources:
        for path in source.files:
            for _, row in read_rows(directory / path):
                key = text_key(row["text"])
                if key in blocklist or key in seen or not _is_sampled(key, source.sample):
                    continue
                seen.add(key)
                yield row["text"]


def near_length_batches(
    lengths: Sequence[int], generator: np.random.Generator, *, size: int, tokens: int | None = None
) -> list[list[int]]:
    """Return shuffled batches of indices of sequences of near lengths, so that little is padding.

    Args:
        lengths: the length of each sequence.
        generator: shuffles; the same seed gives the same batches.
        size: sequences per batch.
        tokens: maximum padded size of a batch, in ids, instead of ``size``.
    """
    pool = 50 * size
    order = generator.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        chosen = sorted(order[start : start + pool].tolist(), key=lambda index: lengths[index])
        batch: list[int] = []
        for index in chosen:
            full = (
                len(batch) == size if tokens is None else lengths[index] * (len(batch) + 1) > tokens
            )
            if batch and full:
                batches.append(batch)
                batch = []
            batch.append(index)
        batches.append(batch)
    generator.shuffle(batches)
    return batches
