"""The rows of a run: labelled texts, their ids, and what their sets say about the labels.

Letters in the shapes: N rows, T ids of a row, L labels.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from gettext import gettext as _

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import LABELS, NEUTRAL, SourceConfig
from model.corpora import Example
from model.text.encoding import Encoder
from model.training.optimization import Sequences

logger = logging.getLogger(__name__)

SoftLabels = NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """N examples of some sets, with the ids that the network reads for each.

    ``ids`` are N arrays (T,), the first window of each text; ``sources`` has an entry for every
    set that an example names. ``soft`` holds the probabilities (N, L) that teachers gave, NaN
    for a row that they were not asked about.
    """

    examples: list[Example]
    ids: Sequences
    sources: Mapping[str, SourceConfig]
    soft: SoftLabels | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def with_soft(self, soft: SoftLabels) -> "Rows":
        """Return the same rows with soft labels (N, L)."""
        return replace(self, soft=soft)

    def __add__(self, other: "Rows") -> "Rows":
        """Return the rows of both."""
        soft = None
        if self.soft is not None or other.soft is not None:
            soft = np.concatenate([rows._soft_or_nan() for rows in (self, other)])
        sources = {**self.sources, **other.sources}
        return Rows(self.examples + other.examples, self.ids + other.ids, sources, soft)

    def _soft_or_nan(self) -> SoftLabels:
        if self.soft is not None:
            return self.soft
        return np.full((len(self), len(LABELS)), np.nan, dtype=np.float32)

    def select(self, indices: Sequence[int]) -> "Rows":
        """Return the rows at some indices, in their order, without soft labels."""
        return Rows(
            [self.examples[index] for index in indices],
            [self.ids[index] for index in indices],
            self.sources,
        )


def encode(encoder: Encoder, examples: list[Example], sources: Mapping[str, SourceConfig]) -> Rows:
    """Encode the first window of each example; few training texts have a second one."""
    encodings = [encoder.encode(example.text) for example in examples]
    longer = sum(len(encoding.windows) > 1 for encoding in encodings)
    logger.info(_("%d of %d texts are longer than a window"), longer, len(encodings))
    ids = [np.array(encoding.windows[0], dtype=np.int32) for encoding in encodings]
    return Rows(examples, ids, sources)


def rows_by_source(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Return the indices of the rows of each set."""
    indices: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        indices.setdefault(example.source, []).append(index)
    return indices


def chooses(row: Example, choose_by: Sequence[str]) -> bool:
    """Return whether a dev row may choose the epoch, the temperature and the bound."""
    return row.calibrates and (not choose_by or row.source in choose_by)


def row_weights(examples: Sequence[Example], sources: Mapping[str, SourceConfig]) -> Tensor:
    """Return the factor (N,) that the loss of each row is multiplied by."""
    return torch.tensor([sources[example.source].weight * example.weight for example in examples])


def allowed_labels(examples: Sequence[Example], sources: Mapping[str, SourceConfig]) -> Tensor:
    """Return a mask (N, L) of the labels that each row could have had."""
    allowed = torch.ones(len(examples), len(LABELS), dtype=torch.bool)
    allowed[[sources[example.source].two_classes for example in examples], NEUTRAL] = False
    return allowed
