"""The texts that every system is asked about, and the request bodies that hold them."""

import json
import os
import random
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

from model.config import load_config
from model.corpora import load_test
from model.evaluation.release_check import release_check_sentences

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


def write_bodies(texts: list[str], directory: Path) -> tuple[Path, Path]:
    """Two files of request bodies, one a line: a text each, and ``BATCH`` texts each."""
    singles, batches = directory / "singles.jsonl", directory / "batches.jsonl"
    _write_lines(({"text": text} for text in texts), singles)
    _write_lines(
        (
            {"items": [{"text": text} for text in texts[start : start + BATCH]]}
            for start in range(0, len(texts) - BATCH + 1, BATCH)
        ),
        batches,
    )
    return singles, batches


def _write_lines(bodies: Iterable[object], path: Path) -> None:
    lines = (json.dumps(body, ensure_ascii=False) + "\n" for body in bodies)
    path.write_text("".join(lines), encoding="utf-8")
