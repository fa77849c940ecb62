"""The texts that every system is asked about, and the request bodies that hold them."""

import json
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TypeVar

from model.config import load_config
from model.corpora import load_test
from model.evaluation.release_check import release_check_sentences

_T = TypeVar("_T")

COUNT = 5_000
BATCH = 32


def load_texts() -> list[str]:
    """Real texts from the test splits, or the release check's where the corpora are missing."""
    directory = os.environ.get("SENTIMENT_DATA")
    if not directory:
        return list(islice(cycle(sentence.text for sentence in release_check_sentences()), COUNT))
    texts = [
        example.text
        for source in load_config("zh-general").data.sources
        for example in load_test(source, Path(directory))
    ]
    return random.Random(0).sample(texts, COUNT)


def describe(texts: list[str]) -> str:
    """Which texts these are, and how long."""
    origin = "from the test splits" if "SENTIMENT_DATA" in os.environ else "from the release check"
    lengths = sorted(map(len, texts))
    return (
        f"{len(texts):,} texts {origin}; characters: median {lengths[len(lengths) // 2]}, mean "
        f"{sum(lengths) / len(lengths):.0f}, one in ten above {lengths[len(lengths) * 9 // 10]}, "
        f"at most {lengths[-1]}"
    )


@dataclass(frozen=True)
class Bodies:
    """Files of request bodies, one a line: a text each, and ``BATCH`` texts each."""

    singles: Path
    batches: Path


def write_bodies(texts: list[str], directory: Path) -> Bodies:
    """Write bodies as our API has them."""
    items = [{"text": text} for text in texts]
    return Bodies(
        _write_lines(items, directory / "singles.jsonl"),
        _write_lines(({"items": batch} for batch in _batches(items)), directory / "batches.jsonl"),
    )


def write_lists(texts: list[str], directory: Path) -> Bodies:
    """Write bodies that are lists of texts, be it of one."""
    return Bodies(
        _write_lines(({"texts": [text]} for text in texts), directory / "lists_of_one.jsonl"),
        _write_lines(({"texts": batch} for batch in _batches(texts)), directory / "lists.jsonl"),
    )


def _batches(values: list[_T]) -> Iterator[list[_T]]:
    """Whole batches, without the rest."""
    for start in range(0, len(values) - BATCH + 1, BATCH):
        yield values[start : start + BATCH]


def _write_lines(bodies: Iterable[object], path: Path) -> Path:
    lines = (json.dumps(body, ensure_ascii=False) + "\n" for body in bodies)
    path.write_text("".join(lines), encoding="utf-8")
    return path
