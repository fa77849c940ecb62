"""What makes probabilities mean what they say: the temperature and the bound of ``uncertain``.

Letters in the shapes: N rows, L labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.classifier import softmax
from model.config import FinetuneConfig, SourceConfig
from model.corpora import Example
from model.network import SentimentNetwork
from model.scores import confidence_threshold
from model.training.finetune import dev_scores, logits_of, smoothed_loss
from model.training.rows import Rows, allowed_labels, chooses


@dataclass(frozen=True)
class Calibration:
    """What was fitted on dev, and what a network gives there.

    Attributes:
        temperature: the logits are divided by it.
        uncertain_below: the confidence below which an answer is uncertain.
        certain_share: the share, from 0 to 1, of the answers that are not.
        scores: accuracy and macro-F1 of each set, and the mean that the epoch was chosen by.
        probabilities: (N, L) of all dev rows.
    """

    temperature: float
    uncertain_below: float
    certain_share: float
    scores: dict[str, dict[str, float]]
    probabilities: NDArray[np.float64]


def calibrate(
    network: SentimentNetwork, dev: Rows, settings: FinetuneConfig, device: torch.device
) -> Calibration:
    """Fit the temperature and the bound of ``uncertain`` on the dev rows that choose the epoch."""
    logits = logits_of(network, dev.ids, device)  # (N, L)
    chosen = [i for i, row in enumerate(dev.examples) if chooses(row, settings.choose_by)]
    examples = [dev.examples[index] for index in chosen]
    temperature = fit_temperature(logits[chosen], examples, dev.sources)
    probabilities = softmax(logits, temperature)  # (N, L)
    threshold, certain = uncertain_below(
        probabilities[chosen], examples, dev.sources, settings.confident_accuracy
    )
    scores = dev_scores(probabilities, dev.examples, dev.sources, settings.choose_by)
    return Calibration(temperature, threshold, certain, scores, probabilities)


def fit_temperature(
    logits: NDArray[np.float32], examples: Sequence[Example], sources: Mapping[str, SourceConfig]
) -> float:
    """Return the temperature, from 0.1 to 10, that makes dev most likely (Guo et al., 2017).

    Args:
        logits: (N, L).
        examples: the N dev rows.
        sources: the sets that they name.
    """
    labels = torch.tensor([example.label for example in examples])
    allowed = allowed_labels(examples, sources)
    candidates = np.geomspace(0.1, 10, 401)
    losses = [
        smoothed_loss(torch.from_numpy(logits) / temperature, labels, allowed, 0.0).mean().item()
        for temperature in candidates
    ]
    return round(float(candidates[int(np.argmin(losses))]), 4)


def uncertain_below(
    probabilities: NDArray[np.float64],
    examples: Sequence[Example],
    sources: Mapping[str, SourceConfig],
    accuracy: float,
) -> tuple[float, float]:
    """Return the confidence from which on answers are right with ``accuracy``, from dev rows.

    Only rows that could be neutral count, unless every set has two classes: against two-class
    labels an answer of neutral is wrong by definition.

    Args:
        probabilities: (N, L).
        examples: the N dev rows.
        sources: the sets that they name.
        accuracy: from 0 to 1.

    Returns:
        The confidence, and the share of the answers that reach it.
    """
    rows = [i for i, example in enumerate(examples) if not sources[example.source].two_classes]
    rows = rows or list(range(len(examples)))
    labels = np.array([examples[index].label for index in rows])
    correct = probabilities[rows].argmax(axis=1) == labels
    confidences = probabilities[rows].max(axis=1)
    # Rounded up, so that no answer counts as certain that the exact threshold excludes.
    threshold = math.ceil(10_000 * confidence_threshold(confidences, correct, accuracy)) / 10_000
    return threshold, float((confidences >= threshold).mean())
