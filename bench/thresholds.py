"""How many answers a bound on the confidence keeps, how many of those are right, and what they say.

    SENTIMENT_DATA=... .venv/bin/python -m bench.thresholds [--write]

The shipped model answers the dev rows of some sets. For `annotated`, those are the rows that were
drawn at random, as users' texts are; its own bound of `uncertain` was chosen on them. `--write`
puts the tables into both FAQs.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.document import replace_block
from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import load_splits
from service.settings import SHIPPED_MODEL

SETS = ("annotated", "smp2020_usual", "jd_laptop_clauses")
BOUNDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
DOCS = Path(__file__).parent.parent / "docs"


@dataclass(frozen=True)
class Words:
    """The words of the tables in one language."""

    bound: str
    own: str
    kept: str
    right: str
    shares: tuple[str, str, str, str]
    heading: str
    labels: tuple[str, ...]


PAGES = {
    DOCS / "faq.md": Words(
        "confidence at least",
        "{} (the model's own)",
        "`{}` ({:,}): kept",
        "right",
        ("true", "all answers", "those not `uncertain`", "those from 0.9"),
        "share of `annotated`, in percent",
        LABELS,
    ),
    DOCS / "faq.zh-CN.md": Words(
        "置信度不低于",
        "{}（模型自带）",
        "`{}`（{:,}）：保留",
        "其中正确",
        ("实际", "全部结果", "未标为 `uncertain` 的结果", "0.9 以上的结果"),
        "在 `annotated` 中的占比（%）",
        ("正面", "中性", "负面"),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """The right labels of N texts, those that were answered, and how confidently; each (N,)."""

    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    confidences: NDArray[np.float64]


def measure(classifier: Classifier, data: Path) -> dict[str, Outcome]:
    """Return what the model answers to the dev rows of each set."""
    rows = [row for row in load_splits(load_config("zh-general").data, data).dev if row.calibrates]
    outcomes = {}
    for name in SETS:
        examples = [row for row in rows if row.source == name]
        predictions = list(classifier.predict(row.text for row in examples))
        outcomes[name] = Outcome(
            np.array([row.label for row in examples]),
            np.array([LABELS.index(answer.label) for answer in predictions]),
            np.array([answer.confidence for answer in predictions]),
        )
    return outcomes


def coverage(outcomes: dict[str, Outcome], own: float, words: Words) -> str:
    """Return a Markdown table in percent: a bound a row, two columns a set."""
    head = [words.bound]
    for name, outcome in outcomes.items():
        head += [words.kept.format(name, len(outcome.labels)), words.right]
    rows = [head]
    for value in sorted({*BOUNDS, own}):
        cells = [words.own.format(value) if value == own else f"{value:g}"]
        for outcome in outcomes.values():
            inside = outcome.confidences >= value
            right = (outcome.answers == outcome.labels)[inside]
            cells += [f"{100 * inside.mean():.1f}", f"{100 * right.mean():.1f}"]
        rows.append(cells)
    return markdown(rows)


def shares(outcome: Outcome, own: float, words: Words) -> str:
    """Return a Markdown table of the labels' shares in percent, true and among answers."""
    kept = [outcome.answers[outcome.confidences >= bound] for bound in (0.0, own, 0.9)]
    rows = [[words.heading, *words.labels]]
    for name, labels in zip(words.shares, (outcome.labels, *kept), strict=True):
        counts = np.bincount(labels, minlength=len(LABELS))
        rows.append([name, *(f"{100 * count / len(labels):.1f}" for count in counts)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is its head."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    lines.insert(1, f"|---|{'---:|' * (len(rows[0]) - 1)}")
    return "\n".join(lines)


def main() -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.thresholds", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into the FAQs")
    options = parser.parse_args()
    classifier = Classifier.load(SHIPPED_MODEL)
    outcomes = measure(classifier, Path(os.environ["SENTIMENT_DATA"]))
    own = classifier.artifact.manifest.uncertain_below
    for page, words in PAGES.items():
        tables = {
            "thresholds": coverage(outcomes, own, words),
            "shares": shares(outcomes["annotated"], own, words),
        }
        print("\n\n".join(tables.values()))
        if options.write:
            for name, table in tables.items():
                replace_block(name, table, page)


if __name__ == "__main__":
    main()
