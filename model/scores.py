"""How good answers are: accuracy, macro-F1, calibration.

Letters in the shapes: N texts, L labels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, f1_score

from model.config import NEUTRAL


def predicted_labels(scores: ArrayLike, two_classes: bool) -> NDArray[np.int64]:
    """Return the index (N,) of the highest score of each row (N, L).

    For a set that was labelled only positive or negative, the higher of these two.
    """
    considered = np.array(scores, dtype=np.float64)
    if two_classes:
        considered[:, NEUTRAL] = -np.inf
    best: NDArray[np.int64] = considered.argmax(axis=1)
    return best


def accuracy_and_macro_f1(labels: Sequence[int], predicted: NDArray[np.int64]) -> dict[str, float]:
    """Return ``accuracy``, and ``macro_f1`` over the labels that occur; both inputs are (N,)."""
    classes = sorted(set(labels))
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(
            f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)
        ),
    }


def confidence_threshold(
    confidences: NDArray[np.float64],
    correct: NDArray[np.bool_],
    accuracy: float,
    deviations: float = 0.0,
) -> float:
    """Return the lowest confidence from which on answers are correct with ``accuracy``.

    Args:
        confidences: (N,).
        correct: (N,).
        accuracy: from 0 to 1.
        deviations: those of ``share_limits``, whose lower limit counts, so that few answers prove
            little.

    Returns:
        The confidence; 1.0 if no threshold reaches the accuracy.
    """
    order = np.argsort(-confidences, kind="stable")
    count = np.arange(1, len(order) + 1)
    running, _ = share_limits(np.cumsum(correct[order]) / count, count, deviations)
    reached = np.flatnonzero(running >= accuracy)
    return float(confidences[order[reached[-1]]]) if len(reached) else 1.0


def share_limits(
    share: NDArray[np.float64], count: NDArray[np.int64], deviations: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which limits true shares lie, by Wilson's score interval.

    Args:
        share: (N,) what was measured, from 0 to 1.
        count: (N,) on how many each.
        deviations: how many standard deviations wide the interval is in each direction; with
            1.96, 95 in 100 of the true shares lie inside.

    Returns:
        The lower and the upper limits, both (N,).
    """
    squared = deviations**2 / count
    spread = np.sqrt(squared * (share * (1 - share) + squared / 4))
    middle = share + squared / 2
    return (middle - spread) / (1 + squared), (middle + spread) / (1 + squared)


def calibration_bins(
    confidences: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 15
) -> list[tuple[int, float, float]]:
    """Return count, mean confidence and accuracy of the answers in each of equally wide bins.

    Both arrays are (N,). Empty bins are left out.
    """
    index = np.minimum((confidences * bins).astype(int), bins - 1)
    return [
        (int(inside.sum()), float(confidences[inside].mean()), float(correct[inside].mean()))
        for bin_ in range(bins)
        if (inside := index == bin_).any()
    ]


def calibration_error(
    confidences: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """Return the expected calibration error (Naeini et al., 2015).

    The mean distance of confidence and accuracy over bins, weighted by their answers. Both arrays
    are (N,).
    """
    weighted = [
        count * abs(confidence - accuracy)
        for count, confidence, accuracy in calibration_bins(confidences, correct, bins)
    ]
    return sum(weighted) / len(confidences)


def calibration_error_by_chance(confidences: NDArray[np.float64], draws: int = 200) -> float:
    """Return the mean ``calibration_error`` of answers that are correct as often as they claim.

    It is above 0, since a bin of few answers rarely has its expected accuracy. An error on few
    texts means something only if it is above this.

    Args:
        confidences: (N,).
        draws: how many times correct and wrong answers are drawn.
    """
    generator = np.random.default_rng(0)
    drawn = generator.random((draws, len(confidences))) < confidences
    return float(np.mean([calibration_error(confidences, correct) for correct in drawn]))
