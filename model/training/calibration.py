"""What makes probabilities mean what they say: the temperature and the bound of ``uncertain``."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.config import SourceConfig
from model.corpora import Example
from model.scores import confidence_threshold
from model.training.finetune import allowed_labels, smoothed_loss


def fit_temperature(
    logits: NDArray[np.float32], examples: Sequence[Example], sources: dict[str, SourceConfig]
) -> float:
    """The temperature that makes dev most likely (Guo et al., 2017), from 0.1 to 10."""
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
    sources: dict[str, SourceConfig],
    accuracy: float,
) -> tuple[float, float]:
    """The confidence below which answers are uncertain, from dev rows that could be neutral.

    Where every set has two classes, from all rows.

    Returns:
        The confidence, and the share of the answers that are not below it.
    """
    rows = [i for i, example in enumerate(examples) if not sources[example.source].two_classes]
    rows = rows or list(range(len(examples)))
    labels = np.array([examples[index].label for index in rows])
    right = probabilities[rows].argmax(axis=1) == labels
    confidences = probabilities[rows].max(axis=1)
    # Rounded up, so that no answer comes in that the threshold keeps out.
    threshold = math.ceil(10_000 * confidence_threshold(confidences, right, accuracy)) / 10_000
    return threshold, float((confidences >= threshold).mean())
