"""Summaries of a model's answers, and how far recent answers have drifted from the baseline."""

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from model.artifact import CONFIDENCE_BINS, DriftBaseline
from model.classifier import Classifier, Prediction
from model.config import LABELS, Label
from model.text.pipeline import is_blank

# Floor for empty bins: the index divides by the share.
_MIN_SHARE = 1e-3


class Observation(NamedTuple):
    """What is kept of one answer; nothing of its text."""

    label: Label
    confidence: float
    tokens: int
    unknown: int

    @classmethod
    def of(cls, prediction: Prediction) -> "Observation":
        """Return the observation of a prediction."""
        encoding = prediction.encoding
        return cls(prediction.label, prediction.confidence, encoding.tokens, encoding.unknown)


def summarize(observations: Sequence[Observation]) -> DriftBaseline:
    """Return the label mix, confidences and unknown-token ratio of at least one observation."""
    count = len(observations)
    labels = Counter(observation.label for observation in observations)
    bins = Counter(
        bisect.bisect_left(CONFIDENCE_BINS, observation.confidence) for observation in observations
    )
    tokens = sum(observation.tokens for observation in observations)
    return DriftBaseline(
        texts=count,
        labels={label: labels[label] / count for label in LABELS},
        confidence=tuple(bins[index] / count for index in range(len(CONFIDENCE_BINS))),
        mean_confidence=sum(observation.confidence for observation in observations) / count,
        unknown=sum(observation.unknown for observation in observations) / max(tokens, 1),
    )


def summarize_answers(classifier: Classifier, texts: Iterable[str]) -> DriftBaseline:
    """Return the summary of a classifier's answers for texts, skipping blank ones."""
    predictions = classifier.predict(text for text in texts if not is_blank(text))
    return summarize([Observation.of(prediction) for prediction in predictions])


def population_stability_index(baseline: DriftBaseline, recent: DriftBaseline) -> dict[str, float]:
    """Return the population stability index of the label mix, confidences and unknown tokens.

    By convention, below 0.1 nothing has changed, and above 0.25 something has.
    """
    return {
        "labels": _index(
            [baseline.labels[label] for label in LABELS],
            [recent.labels[label] for label in LABELS],
        ),
        "confidence": _index(baseline.confidence, recent.confidence),
        "unknown": _index(
            [baseline.unknown, 1 - baseline.unknown], [recent.unknown, 1 - recent.unknown]
        ),
    }


def _index(expected: Sequence[float], actual: Sequence[float]) -> float:
    index = 0.0
    for before, now in zip(expected, actual, strict=True):
        before, now = max(before, _MIN_SHARE), max(now, _MIN_SHARE)
        index += (now - before) * math.log(now / before)
    return index
