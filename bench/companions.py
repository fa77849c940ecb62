"""How far the answer to a text differs with the texts that run together with it.

    SENTIMENT_DATA=... .venv/bin/python -m bench.companions [--write]

Each of 1,000 dev rows of `annotated` is read alone, and then ten times among others, as many as the
engine reads at once and of similar length, as in the service. The table says how far the
probabilities are from those alone, and how many answers get another label or turn to or from
`uncertain`. `--write` puts it into docs/api.md.
"""

import argparse
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from bench.document import replace_block
from model.classifier import Classifier, Prediction
from model.config import load_config
from model.corpora import load_splits
from model.engines import EngineName, group_by_length
from model.text.encoding import Encoding
from service.settings import SHIPPED_MODEL

API = Path(__file__).parent.parent / "docs" / "api.md"
TEXTS, ROUNDS = 1000, 10


def read_alone(classifier: Classifier, encodings: Sequence[Encoding]) -> list[Prediction]:
    """Return the predictions for texts that run one at a time."""
    return [
        classifier.decide(encoding, classifier.probabilities(encoding.windows))
        for encoding in encodings
    ]


def read_together(classifier: Classifier, encodings: Sequence[Encoding]) -> list[Prediction]:
    """Return the predictions for texts that run with those of similar length."""
    predictions: dict[int, Prediction] = {}
    for group in group_by_length([len(encoding.windows[0]) for encoding in encodings]):
        found = classifier.probabilities([encodings[index].windows[0] for index in group])
        for row, index in enumerate(group):
            predictions[index] = classifier.decide(encodings[index], found[row : row + 1])
    return [predictions[index] for index in range(len(encodings))]


def row(engine: EngineName, texts: Sequence[str], chance: random.Random) -> str:
    """Return the row of an engine in the table."""
    classifier = Classifier.load(SHIPPED_MODEL, engine=engine)
    encodings = [classifier.encode(text) for text in texts]
    encodings = [encoding for encoding in encodings if len(encoding.windows) == 1]
    alone = read_alone(classifier, encodings)
    differences, labels, doubts = [], 0, 0
    for _ in range(ROUNDS):
        order = chance.sample(range(len(encodings)), len(encodings))
        # Parts of the whole, so that texts of similar length are not the same ones each time.
        for start in range(0, len(order), 100):
            part = order[start : start + 100]
            for index, other in zip(
                part, read_together(classifier, [encodings[i] for i in part]), strict=True
            ):
                first = alone[index]
                pairs = zip(first.probabilities, other.probabilities, strict=True)
                differences.append(max(abs(a - b) for a, b in pairs))
                labels += first.label != other.label
                doubts += first.uncertain != other.uncertain
    mean, most = np.mean(differences), np.max(differences)
    high = np.quantile(differences, 0.99)
    shares = " | ".join(f"{100 * count / len(differences):.2f}%" for count in (labels, doubts))
    return f"| `{engine}` | {mean:.4f} | {high:.4f} | {most:.4f} | {shares} |"


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.companions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/api.md")
    options = parser.parse_args()
    splits = load_splits(load_config("zh-general").data, Path(os.environ["SENTIMENT_DATA"]))
    chance = random.Random(0)
    texts = chance.sample([row.text for row in splits.dev if row.source == "annotated"], TEXTS)
    lines = [
        "| engine | mean | 99th percentile | largest | label changed | `uncertain` changed |",
        "|---|---:|---:|---:|---:|---:|",
        *(row(engine, texts, chance) for engine in get_args(EngineName)),
    ]
    shown = "\n".join(lines)
    print(shown)
    if options.write:
        replace_block("companions", shown, API)


if __name__ == "__main__":
    main()
