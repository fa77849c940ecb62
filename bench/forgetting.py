"""What `sentiment train --from zh-general` forgets: the old test splits, before and after.

    SENTIMENT_DATA=... .venv/bin/python bench/forgetting.py

tunes the model that ships on 500 rows of a set, as a user would on rows of their own, and prints
the score of every test split before and after, the mean of three draws of the rows.
"""

import csv
import logging
import os
import random
import tempfile
from pathlib import Path
from statistics import mean

import numpy as np

from model import artifact as artifacts
from model.bulk.labelled import read_labelled
from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import Example, load_splits, load_test
from model.scores import accuracy_and_macro_f1, predicted_labels
from model.training.own_file import own_file_run
from model.training.run import train
from service.settings import SHIPPED_MODEL

NAME = "jd_laptop_clauses"
ROWS = 500
DRAWS = 3

logging.disable()
data = Path(os.environ["SENTIMENT_DATA"])
config = load_config("zh-general")
rows = [row for row in load_splits(config.data, data).train if row.source == NAME]
tests = {
    source.name: (source, load_test(source, data)) for source in config.data.sources if source.test
}


def scores(directory: Path) -> dict[str, float]:
    """In percent, by test split: accuracy where there is no neutral, else macro-F1."""
    classifier = Classifier.load(directory)
    found = {}
    for name, (source, examples) in tests.items():
        answers = classifier.predict([example.text for example in examples])
        probabilities = np.array([answer.probabilities for answer in answers])
        chosen = predicted_labels(probabilities, source.two_classes)
        measured = accuracy_and_macro_f1([example.label for example in examples], chosen)
        found[name] = 100 * measured["accuracy" if source.two_classes else "macro_f1"]
    return found


def tuned(chosen: list[Example], directory: Path) -> Path:
    """The artifact that ships, gone on with on some rows."""
    path = directory / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = [(example.text, LABELS[example.label]) for example in chosen]
        csv.writer(file).writerows([("text", "label"), *table])
    adapt, splits = own_file_run(read_labelled(path), adapt=True)
    start = artifacts.load(SHIPPED_MODEL)
    train(adapt, splits, directory / "run", directory / "artifact", start)
    return directory / "artifact"


before = scores(SHIPPED_MODEL)
after = []
for draw in range(DRAWS):
    with tempfile.TemporaryDirectory() as folder:
        after.append(scores(tuned(random.Random(draw).sample(rows, ROWS), Path(folder))))
print(f"{ROWS} rows of {NAME}, {DRAWS} draws")
print("| test split | before | after | change |\n|---|---:|---:|---:|")
for name, score_before in before.items():
    score_after = mean(scored[name] for scored in after)
    print(
        f"| {name} | {score_before:.1f} | {score_after:.1f} | {score_after - score_before:+.1f} |"
    )
others = [name for name in before if name != NAME]
change = mean(scored[name] - before[name] for scored in after for name in others)
print(f"mean change of the others: {change:+.2f}")
