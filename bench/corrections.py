"""What ten corrected rows teach, and what the model forgets: `sentiment train --from zh-general`.

    SENTIMENT_DATA=... .venv/bin/python bench/corrections.py

takes test texts that the shipped model answers wrongly, trains it on some of them with their right
labels as a user would, and prints how many of these it then answers rightly, and how it does on
the release check and on 1,000 other texts of the same test split. Three draws of the rows.
"""

import csv
import logging
import os
import random
import tempfile
from pathlib import Path
from statistics import mean

from model import artifact as artifacts
from model.bulk.labelled import read_labelled
from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import Example, load_test
from model.evaluation.release_check import run_release_check
from model.training.own_file import own_file_run
from model.training.run import train
from service.settings import SHIPPED_MODEL

NAME = "annotated"
ROWS = (10, 30)
DRAWS = 3
OTHERS = 1000

logging.disable()
source = next(s for s in load_config("zh-general").data.sources if s.name == NAME)
texts = load_test(source, Path(os.environ["SENTIMENT_DATA"]))
shipped = Classifier.load(SHIPPED_MODEL)


def share_right(classifier: Classifier, examples: list[Example]) -> float:
    """In percent."""
    answers = classifier.predict(example.text for example in examples)
    right = [LABELS[e.label] == a.label for e, a in zip(examples, answers, strict=True)]
    return 100 * mean(right)


def corrected(rows: list[Example], directory: Path) -> Classifier:
    """The shipped model, trained on a file with these rows."""
    path = directory / "corrections.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = [(example.text, LABELS[example.label], "wrong") for example in rows]
        csv.writer(file).writerows([("text", "label", "marked"), *table])
    config, splits = own_file_run(read_labelled(path), adapt=True)
    start = artifacts.load(SHIPPED_MODEL)
    train(config, splits, directory / "run", directory / "artifact", start)
    return Classifier.load(directory / "artifact")


def measured(classifier: Classifier, rows: list[Example], others: list[Example]) -> list[float]:
    """The three figures."""
    check = 100 * run_release_check(classifier).share
    return [share_right(classifier, rows), check, share_right(classifier, others)]


print("| rows | corrected texts, before | after | release check | after | other texts | after |")
print("|---:|" + "---:|" * 6)
for count in ROWS:
    before, after = [], []
    for draw in range(DRAWS):
        shuffled = random.Random(draw).sample(texts, len(texts))
        others, candidates = shuffled[:OTHERS], shuffled[OTHERS:]
        answers = shipped.predict(example.text for example in candidates)
        wrong = [
            example
            for example, answer in zip(candidates, answers, strict=True)
            if answer.label != LABELS[example.label]
        ]
        rows = wrong[:count]
        before.append(measured(shipped, rows, others))
        with tempfile.TemporaryDirectory() as folder:
            after.append(measured(corrected(rows, Path(folder)), rows, others))
    pairs = zip(zip(*before, strict=True), zip(*after, strict=True), strict=True)
    cells = [f"{mean(figures):.1f}" for pair in pairs for figures in pair]
    print(f"| {count} | {' | '.join(cells)} |", flush=True)
