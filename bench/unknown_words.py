"""Whether answers to texts of many unknown words are less often right, on labelled dev rows.

    SENTIMENT_DATA=... .venv/bin/python -m bench.unknown_words [--write]

The rows are those of every set with three labels. The table says how many of them have which share
of words that the vocabulary lacks, how many of the answers are right, how many are not uncertain,
and how many of those are right. `--write` puts it into docs/api.md.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from bench.document import replace_block
from model.classifier import MANY_UNKNOWN, Classifier
from model.config import LABELS, load_config
from model.corpora import load_splits
from service.settings import SHIPPED_MODEL

API = Path(__file__).parent.parent / "docs" / "api.md"
# Where the shares begin; the first row has no unknown word.
_SHARES = (0.0, 1e-9, 0.1, 0.25, MANY_UNKNOWN)
_NAMES = ("none", "under 10%", "10% to 25%", "25% to 50%", "50% or more")


def table(classifier: Classifier, data: Path) -> str:
    """Return the Markdown table."""
    config = load_config("zh-general")
    binary = {source.name for source in config.data.sources if source.two_classes}
    rows = [row for row in load_splits(config.data, data).dev if row.source not in binary]
    answers = list(classifier.predict(row.text for row in rows))
    right = np.array(
        [LABELS.index(answer.label) == row.label for answer, row in zip(answers, rows, strict=True)]
    )
    certain = np.array([not answer.uncertain for answer in answers])
    shares = [answer.encoding.unknown / answer.encoding.tokens for answer in answers]
    kinds = np.digitize(shares, _SHARES) - 1
    lines = [
        "| unknown words | texts | right | not `uncertain` | right if not |",
        "|---|---:|---:|---:|---:|",
    ]
    for number, name in enumerate(_NAMES):
        here = kinds == number
        lines.append(
            f"| {name} | {here.sum():,} | {100 * right[here].mean():.1f}% | "
            f"{100 * certain[here].mean():.1f}% | {100 * right[here & certain].mean():.1f}% |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.unknown_words", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/api.md")
    options = parser.parse_args()
    shown = table(Classifier.load(SHIPPED_MODEL), Path(os.environ["SENTIMENT_DATA"]))
    print(shown)
    if options.write:
        replace_block("unknown-words", shown, API)


if __name__ == "__main__":
    main()
