"""What `sentiment train --from` is worth: few rows of a set that was not fine-tuned on.

    SENTIMENT_DATA=... .venv/bin/sentiment train --config zh-general \
        --leave-out jd_laptop_clauses --output runs/zh-general/without-jd
    SENTIMENT_DATA=... .venv/bin/python bench/finetune.py runs/zh-general/without-jd

prints the macro-F1 on the dev rows of JD's clauses, by the number of rows trained on: as it is,
tuned from that model, and trained from scratch. Three draws of the rows each.
"""

import csv
import logging
import os
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from model import artifact as artifacts
from model.artifact import Artifact
from model.bulk.labelled import read_labelled
from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import Example, load_splits
from model.scores import accuracy_and_macro_f1
from model.training.own_file import own_file_run
from model.training.run import train

NAME = "jd_laptop_clauses"
ROWS = (100, 500, 2000)
DRAWS = 3

logging.disable()
general = load_config("zh-general")
splits = load_splits(general.data, Path(os.environ["SENTIMENT_DATA"]))
rows = [example for example in splits.train if example.source == NAME]
dev = [example for example in splits.dev if example.source == NAME]
base = Path(sys.argv[1])


def macro_f1(directory: Path) -> float:
    """On the dev rows."""
    predictions = Classifier.load(directory).predict([example.text for example in dev])
    chosen = np.array([LABELS.index(prediction.label) for prediction in predictions])
    return 100 * accuracy_and_macro_f1([example.label for example in dev], chosen)["macro_f1"]


def tuned(chosen: list[Example], start: Artifact | None) -> float:
    """After training on some rows."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        path = directory / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            table = [(example.text, LABELS[example.label]) for example in chosen]
            csv.writer(file).writerows([("text", "label"), *table])
        config, splits = own_file_run(read_labelled(path), adapt=start is not None)
        train(config, splits, directory / "run", directory / "artifact", start)
        return macro_f1(directory / "artifact")


print(f"{len(dev)} dev rows of {NAME}; as it is: {macro_f1(base):.1f}")
print("| rows | tuned from it | from scratch |\n|---:|---:|---:|")
for count in ROWS:
    figures: dict[bool, list[float]] = {True: [], False: []}
    for draw in range(DRAWS):
        chosen = random.Random(draw).sample(rows, count)
        for warm in (True, False):
            figures[warm].append(tuned(chosen, artifacts.load(base) if warm else None))
    cells = [f"{np.mean(f):.1f} ± {np.std(f, ddof=1):.1f}" for f in figures.values()]
    print(f"| {count} | {cells[0]} | {cells[1]} |", flush=True)
