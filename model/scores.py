"""How good answers are: accuracy, macro-F1, calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, f1_score

from model.config import NEUTRAL

ProbabilityArray = NDArray[np.float64]


def predicted_labels(scores: ArrayLike, two_classes: bool) -> NDArray[np.int64]:
    """The index of the highest score of each row, (texts, labels) to (texts,).

    Against a set that was labelled positive or negative alone, the higher of those two counts.
    """
    chosen = np.array(scores, dtype=np.float64)
    if two_classes:
        chosen[:, NEUTRAL] = -np.inf
    best: NDArray[np.int64] = chosen.argmax(axis=1)
    return best


def accuracy_and_macro_f1(labels: Sequence[int], chosen: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, and macro-F1 over the labels that the set has; both inputs are (texts,)."""
    classes = sorted(set(labels))
    return {
        "accuracy": float(accuracy_score(labels, chosen)),
        "macro_f1": float(
            f1_score(labels, chosen, labels=classes, average="macro", zero_division=0)
        ),
    }


def confidence_threshold(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], accuracy: float
) -> float:
    """The lowest confidence such that the answers from there on are right with ``accuracy``.

    Both arrays are (texts,).

    Returns 1.0 where no threshold reaches it.
    """
    order = np.argsort(-confidences, kind="stable")
    running = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(running >= accuracy)
    return float(confidences[order[reached[-1]]]) if len(reached) else 1.0


def calibration_bins(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15
) -> list[tuple[int, float, float]]:
    """Count, mean confidence and accuracy of the answers in each of equally wide bins.

    Both arrays are (texts,). Bins without an answer are left out.
    """
    index = np.minimum((confidences * bins).astype(int), bins - 1)
    return [
        (int(inside.sum()), float(confidences[inside].mean()), float(right[inside].mean()))
        for bin_ in range(bins)
        if (inside := index == bin_).any()
    ]


def calibration_error(
    confidences: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15
) -> float:
    """The expected calibration error: how far confidence and accuracy are apart on average."""
    weighted = [
        count * abs(confidence - accuracy)
        for count, confidence, accuracy in calibration_bins(confidences, right, bins)
    ]
    return sum(weighted) / len(confidences)


def calibration_error_by_chance(confidences: NDArray[np.float64], draws: int = 200) -> float:
    """What ``calibration_error`` would be on average if every confidence (texts,) were right.

    It is not 0, since a bin of few answers is seldom right as often as it should be: of few texts
    an error says something only where it is above this.
    """
    generator = np.random.default_rng(0)
    drawn = generator.random((draws, len(confidences))) < confidences
    return float(np.mean([calibration_error(confidences, right) for right in drawn]))
