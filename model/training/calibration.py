"""What makes probabilities mean what they say: the temperature and the bound of ``uncertain``.

Letters in the shapes: N rows, L labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact import Manifest
from model.classifier import softmax
from model.config import FinetuneConfig, SourceConfig
from model.corpora import Example
from model.network import SentimentNetwork
from model.scores import confidence_threshold
from model.training.finetune import dev_scores, logits_of, smoothed_loss
from model.training.rows import Rows, allowed_labels, chooses

# Fewer dev texts decide neither temperature nor bound: a dozen that are all right would ask for
# probabilities of 0 and 1. Nor are they a baseline for drift, whose index they exceed by chance.
MIN_DEV_TEXTS = 200
# Of the accuracy that the bound asks for, where they must decide for want of an earlier model.
_CAUTIOUS_DEVIATIONS = 1.0


@dataclass(frozen=True)
class Calibration:
    """What was fitted on dev, and what a network gives there.

    Attributes:
        temperature: the logits are divided by it.
        uncertain_below: the confidence below which an answer is uncertain.
        certain_share: the share, from 0 to 1, of the answers that are not.
        texts: how many dev texts could decide both.
        kept: whether both are those of the artifact that the run started from.
        scores: accuracy and macro-F1 of each set, and the mean that the epoch was chosen by.
        probabilities: (N, L) of all dev rows.
    """

    temperature: float
    uncertain_below: float
    certain_share: float
    texts: int
    kept: bool
    scores: dict[str, dict[str, float]]
    probabilities: NDArray[np.float64]


def calibrate(
    network: SentimentNetwork,
    dev: Rows,
    settings: FinetuneConfig,
    device: torch.device,
    start: Manifest | None = None,
) -> Calibration:
    """Fit the temperature and the bound of ``uncertain`` on the dev rows that choose the epoch.

    If they are fewer than ``MIN_DEV_TEXTS``, those of the artifact that the run starts from stay.
    Without one, the temperature only softens, and the bound asks for proof: the lower limit of
    what the accuracy may be, given so few texts.
    """
    logits = logits_of(network, dev.ids, device)  # (N, L)
    chosen = [i for i, row in enumerate(dev.examples) if chooses(row, settings.choose_by)]
    examples = [dev.examples[index] for index in chosen]
    few = len(chosen) < MIN_DEV_TEXTS
    if few and start:
        temperature, threshold = start.temperature, start.uncertain_below
        probabilities = softmax(logits, temperature)  # (N, L)
        certain = float((probabilities.max(axis=1) >= threshold).mean())
    else:
        temperature = fit_temperature(logits[chosen], examples, dev.sources)
        temperature = max(temperature, 1.0) if few else temperature
        probabilities = softmax(logits, temperature)  # (N, L)
        threshold, certain = uncertain_below(
            probabilities[chosen],
            examples,
            dev.sources,
            settings.confident_accuracy,
            _CAUTIOUS_DEVIATIONS if few else 0.0,
        )
    scores = dev_scores(probabilities, dev.examples, dev.sources, settings.choose_by)
    return Calibration(
        temperature, threshold, certain, len(chosen), bool(few and start), scores, probabilities
    )


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
    deviations: float = 0.0,
) -> tuple[float, float]:
    """Return the confidence from which on answers are right with ``accuracy``, from dev rows.

    Only rows that could be neutral count, unless every set has two classes: against two-class
    labels an answer of neutral is wrong by definition.

    Args:
        probabilities: (N, L).
        examples: the N dev rows.
        sources: the sets that they name.
        accuracy: from 0 to 1.
        deviations: those of ``confidence_threshold``.

    Returns:
        The confidence, and the share of the answers that reach it.
    """
    rows = [i for i, example in enumerate(examples) if not sources[example.source].two_classes]
    rows = rows or list(range(len(examples)))
    labels = np.array([examples[index].label for index in rows])
    correct = probabilities[rows].argmax(axis=1) == labels
    confidences = probabilities[rows].max(axis=1)
    # Rounded up, so that no answer counts as certain that the exact threshold excludes.
    threshold = confidence_threshold(confidences, correct, accuracy, deviations)
    threshold = math.ceil(10_000 * threshold) / 10_000
    return threshold, float((confidences >= threshold).mean())
