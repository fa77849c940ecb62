"""What a model's answers look like on dev, and how far later answers have drifted from it."""

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from model import artifact as artifacts
from model.artifact import CONFIDENCE_BINS, Reference
from model.classifier import Classifier, Prediction
from model.config import LABELS, Label
from model.text.pipeline import is_blank

# A share of nothing would make the index infinite.
_SMALLEST_SHARE = 1e-3


class Observation(NamedTuple):
    """What is remembered of one answer: nothing of its text."""

    label: Label
    confidence: float
    tokens: int
    unknown: int


def observe(prediction: Prediction) -> Observation:
    """The observation of a prediction."""
    encoding = prediction.encoding
    return Observation(prediction.label, prediction.confidence, encoding.tokens, encoding.unknown)


def measure(observations: Sequence[Observation]) -> Reference:
    """The label mix, confidences and unknown-word ratio of at least one observation."""
    count = len(observations)
    labels = Counter(observation.label for observation in observations)
    bins = Counter(
        bisect.bisect_left(CONFIDENCE_BINS, observation.confidence) for observation in observations
    )
    tokens = sum(observation.tokens for observation in observations)
    return Reference(
        texts=count,
        labels={label: labels[label] / count for label in LABELS},
        confidence=tuple(bins[index] / count for index in range(len(CONFIDENCE_BINS))),
        mean_confidence=sum(observation.confidence for observation in observations) / count,
        unknown=sum(observation.unknown for observation in observations) / max(tokens, 1),
    )


def measure_texts(classifier: Classifier, texts: Iterable[str]) -> Reference:
    """The measure of a classifier's answers for texts, blank ones left out."""
    predictions = classifier.predict(text for text in texts if not is_blank(text))
    return measure([observe(prediction) for prediction in predictions])


def record(directory: Path, texts: Iterable[str]) -> Reference:
    """Writes the reference of the artifact in a directory, measured on the texts of dev.

    Raises:
        ArtifactError: the artifact cannot be used.
    """
    classifier = Classifier.load(directory)
    reference = measure_texts(classifier, texts)
    artifact = classifier.artifact
    manifest = artifact.manifest.model_copy(update={"reference": reference})
    artifacts.save(replace(artifact, manifest=manifest), directory)
    return reference


def stability(reference: Reference, recent: Reference) -> dict[str, float]:
    """The population stability index of label mix, confidences and unknown words.

    By custom, below 0.1 nothing has changed, and above 0.25 something has.
    """
    return {
        "labels": _index(
            [reference.labels[label] for label in LABELS],
            [recent.labels[label] for label in LABELS],
        ),
        "confidence": _index(reference.confidence, recent.confidence),
        "unknown": _index(
            [reference.unknown, 1 - reference.unknown], [recent.unknown, 1 - recent.unknown]
        ),
    }


def _index(expected: Sequence[float], actual: Sequence[float]) -> float:
    index = 0.0
    for share, other in zip(expected, actual, strict=True):
        share, other = max(share, _SMALLEST_SHARE), max(other, _SMALLEST_SHARE)
        index += (other - share) * math.log(other / share)
    return index
