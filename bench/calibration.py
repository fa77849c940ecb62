"""Whether more than one temperature would make probabilities mean more, on labelled dev rows.

    SENTIMENT_DATA=... .venv/bin/python -m bench.calibration

Each way to correct the shipped model's probabilities is fitted on nine tenths of the dev rows of
`annotated` that were drawn at random and measured on the tenth that is left, in turn, so that one
with more parameters gains nothing by learning the rows. Prints Markdown.

The last two know that labels given once are sometimes wrong, and ask what labels they would be if
the corrected probabilities were right (Patrini et al., 2017).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import load_splits
from model.scores import calibration_error, calibration_error_by_chance, confidence_threshold
from service.settings import SHIPPED_MODEL

FOLDS = 10
# How much a parameter may leave its start, as a penalty: folds are small.
PENALTY = 1e-4
# Two passes over the same texts agree on 93.2 in 100, so one is wrong in so many.
LABEL_ERROR = 0.035

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correction:
    """A way to correct logits (N, L): parameters as they start, and what they do."""

    name: str
    start: tuple[float, ...]
    apply: Callable[[Array, Array], Array]
    label_error: float = 0.0


def _margin(logits: Array) -> Array:
    """Return how far the highest of each row is above the next, (N, 1)."""
    ordered = np.sort(logits, axis=1)
    return ordered[:, -1:] - ordered[:, -2:-1]


TEMPERATURE = Correction("temperature (Guo et al., 2017)", (1,), lambda logits, p: logits * p[0])
VECTOR = Correction(
    "a temperature and a bias per label (vector scaling)",
    (1, 1, 1, 0, 0, 0),
    lambda logits, p: logits * p[:3] + p[3:],
)
CORRECTIONS = (
    Correction("none: the temperature as it ships", (), lambda logits, _: logits),
    TEMPERATURE,
    Correction(
        "temperature and a bias per label", (1, 0, 0, 0), lambda logits, p: logits * p[0] + p[1:]
    ),
    VECTOR,
    Correction(
        "matrix scaling",
        (*np.eye(3).ravel(), 0, 0, 0),
        lambda logits, p: logits @ p[:9].reshape(3, 3) + p[9:],
    ),
    Correction(
        "a temperature that depends on the margin",
        (1, 0),
        lambda logits, p: logits * (p[0] + p[1] * _margin(logits)),
    ),
    replace(TEMPERATURE, name="temperature, labels wrong in 3.5 of 100", label_error=LABEL_ERROR),
    replace(VECTOR, name="vector scaling, labels wrong in 3.5 of 100", label_error=LABEL_ERROR),
)


def _loss(
    parameters: Array, correction: Correction, logits: Array, labels: NDArray[np.int64]
) -> float:
    probabilities = softmax(correction.apply(logits, parameters), axis=1)
    error = correction.label_error
    seen = probabilities * (1 - 1.5 * error) + error / 2  # of the labels that were given
    change = parameters - np.array(correction.start)
    likelihood = np.log(seen[np.arange(len(labels)), labels]).mean()
    return float(PENALTY * change @ change - likelihood)


def corrected(correction: Correction, logits: Array, labels: NDArray[np.int64]) -> Array:
    """Return the probabilities (N, L) of every row, corrected by what the other folds teach."""
    fold = np.random.default_rng(0).permutation(len(labels)) % FOLDS
    probabilities = np.empty_like(logits)
    for number in range(FOLDS):
        inside = fold == number
        loss = partial(_loss, correction=correction, logits=logits[~inside], labels=labels[~inside])
        parameters = minimize(loss, np.array(correction.start, float)).x if correction.start else ()
        probabilities[inside] = softmax(
            correction.apply(logits[inside], np.array(parameters)), axis=1
        )
    return probabilities


def main() -> None:
    """Prints the table."""
    splits = load_splits(load_config("zh-general").data, Path(os.environ["SENTIMENT_DATA"]))
    rows = [row for row in splits.dev if row.source == "annotated" and row.calibrates]
    classifier = Classifier.load(SHIPPED_MODEL)
    accuracy = load_config("zh-general").finetune.confident_accuracy
    predictions = classifier.predict([row.text for row in rows])
    logits = np.log([prediction.probabilities for prediction in predictions])
    labels = np.array([row.label for row in rows])
    print(f"{len(rows)} rows, {len(LABELS)} labels\n")
    print(
        "| correction | log loss | accuracy | calibration error | by chance "
        f"| kept at {100 * accuracy:.0f}% right |\n|---|---:|---:|---:|---:|---:|"
    )
    for correction in CORRECTIONS:
        probabilities = corrected(correction, logits, labels)
        confidences, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
        kept = (confidences >= confidence_threshold(confidences, correct, accuracy)).mean()
        loss = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
        print(
            f"| {correction.name} | {loss:.4f} | {100 * correct.mean():.1f} "
            f"| {calibration_error(confidences, correct):.3f} "
            f"| {calibration_error_by_chance(confidences):.3f} | {100 * kept:.1f} |"
        )


if __name__ == "__main__":
    main()
