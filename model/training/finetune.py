"""Fine-tuning: the classifier learns from labelled texts.

Letters in the shapes: N rows, B rows of a batch, T ids of the longest, L labels.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from gettext import gettext as _
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.config import LABELS, DistilConfig, FinetuneConfig, RunConfig, SourceConfig
from model.corpora import UNLABELLED, Example
from model.engines import Logits, group_by_length
from model.network import SentimentNetwork
from model.scores import accuracy_and_macro_f1, predicted_labels
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID
from model.training.optimization import (
    Compute,
    History,
    Sequences,
    TrainingLoop,
    epoch_batches,
    pad_tensors,
    save_weights,
)
from model.training.rows import Rows, allowed_labels, chooses, row_weights, rows_by_source

logger = logging.getLogger(__name__)

BEST_WEIGHTS = "best.safetensors"

_WARMUP_SHARE = 0.05
# How rows with soft labels alone are learnt from in a run without teachers.
_WITHOUT_TEACHERS = DistilConfig(temperature=1.0)


def finetune(
    network: SentimentNetwork,
    train: Rows,
    dev: Rows,
    config: RunConfig,
    compute: Compute,
    directory: Path,
) -> History:
    """Train the classifier, resuming from the checkpoint in ``directory``.

    The weights of the epoch best on dev are left there, in ``best.safetensors``; those in
    ``network`` are of no further use.

    Returns:
        The loss, the dev score and the time taken of each epoch.
    """
    settings = config.finetune
    epochs = epoch_batches(
        train.ids, settings.epochs, config.finetuning_seed, size=settings.batch_size
    )
    epoch_ends = {end: epoch for epoch, end in enumerate(accumulate(map(len, epochs)), start=1)}
    loop = TrainingLoop(
        _("fine-tuning"),
        network,
        _optimizers(network, settings),
        [*chain.from_iterable(epochs)],
        directory / "finetune.checkpoint",
        warmup_share=_WARMUP_SHARE,
    )
    targets = _Targets.of(train)
    for step, batch in loop:
        ids, lengths = pad_tensors([train.ids[index] for index in batch], compute.device)
        ids = _with_word_dropout(ids, settings.word_dropout)  # (B, T)
        with compute.autocast():
            logits = network(ids, lengths)  # (B, L)
        loss = _mean_loss(logits.float(), targets.select(batch, compute.device), config)
        last = loop.history[-1] if loop.history else {}
        loop.update(loss, **({"dev": last["dev"]} if "dev" in last else {}))
        if epoch := epoch_ends.get(step + 1):
            when = _("epoch {epoch} of {epochs}").format(epoch=epoch, epochs=len(epochs))
            scores = log_scores(when, network, dev, settings, compute)
            chosen_by = {"dev": scores["mean"]["score"]} if "mean" in scores else {}
            best = max((entry.get("dev", -1.0) for entry in loop.history), default=-1.0)
            # Of epochs that are equally good, the last has learnt most.
            if chosen_by.get("dev", best) >= best:
                save_weights(directory / BEST_WEIGHTS, network.state_dict())
            loop.record(epoch=epoch, **chosen_by)
            history = json.dumps(loop.history, indent=2) + "\n"
            (directory / "history.json").write_text(history, encoding="utf-8")
    return loop.history


def log_scores(
    when: str, network: SentimentNetwork, dev: Rows, settings: FinetuneConfig, compute: Compute
) -> dict[str, dict[str, float]]:
    """Measure and log the scores on dev, with the number of texts that they are of."""
    network.eval()
    logits = logits_of(network, dev.ids, compute.device).astype(np.float64)
    scores = dev_scores(logits, dev.examples, dev.sources, settings.choose_by)
    of_sets = [
        _("{name}: accuracy {accuracy:.3f}, macro-F1 {macro_f1:.3f} of {texts} texts").format(
            name=_(name), **of_set
        )
        for name, of_set in scores.items()
        if name != "mean"
    ]
    logger.info(_("%s: %s"), when, _("; ").join(of_sets))
    return scores


def _optimizers(network: SentimentNetwork, settings: FinetuneConfig) -> list[torch.optim.Optimizer]:
    """Return one optimizer for the embedding, whose gradients are sparse, one for the rest."""
    embedding = network.reader.embedding.weight
    dense = [parameter for parameter in network.parameters() if parameter is not embedding]
    return [
        torch.optim.AdamW(dense, lr=settings.learning_rate, weight_decay=settings.weight_decay),
        torch.optim.SparseAdam([embedding], lr=settings.embedding_learning_rate),
    ]


def _with_word_dropout(ids: Tensor, share: float) -> Tensor:
    """Make a share of the words unknown, so that a text with unknown words is no surprise."""
    dropped = torch.rand(ids.shape, device=ids.device) < share
    return ids.masked_fill(dropped & (ids != PADDING_ID), UNKNOWN_ID)


@dataclass(frozen=True)
class _Targets:
    """What the losses of N rows depend on beside the logits."""

    labels: Tensor  # (N,) ``UNLABELLED`` where teachers alone have a say
    allowed: Tensor  # (N, L)
    weights: Tensor  # (N,)
    soft: Tensor | None  # (N, L)

    @classmethod
    def of(cls, rows: Rows) -> "_Targets":
        return cls(
            torch.tensor([example.label for example in rows.examples]),
            allowed_labels(rows.examples, rows.sources),
            row_weights(rows.examples, rows.sources),
            None if rows.soft is None else torch.from_numpy(rows.soft),
        )

    def select(self, batch: list[int], device: torch.device) -> "_Targets":
        return _Targets(
            self.labels[batch].to(device),
            self.allowed[batch].to(device),
            self.weights[batch].to(device),
            None if self.soft is None else self.soft[batch].to(device),
        )


def _mean_loss(logits: Tensor, targets: _Targets, config: RunConfig) -> Tensor:
    """Return the weighted mean of the losses of a batch, with logits (B, L)."""
    losses = smoothed_loss(
        logits,
        targets.labels.clamp_min(0),  # any label will do where the loss by it is not used
        targets.allowed,
        config.finetune.label_smoothing,
    )
    if targets.soft is not None:
        labelled = targets.labels != UNLABELLED
        settings = config.distil or _WITHOUT_TEACHERS
        losses = distilled_loss(logits, losses, targets.soft, labelled, settings)
    return (losses * targets.weights).mean()


def smoothed_loss(logits: Tensor, labels: Tensor, allowed: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy over the allowed labels alone, with label smoothing among them.

    A row from a set that was labelled positive or negative alone says nothing about neutral, so
    its neutral logit neither enters the softmax nor gets a gradient.

    Args:
        logits: (B, L).
        labels: (B,) the right label of each row.
        allowed: (B, L) which labels each row could have had.
        smoothing: the probability spread evenly over the allowed labels.

    Returns:
        (B,) losses.
    """
    log_probabilities = logits.masked_fill(~allowed, float("-inf")).log_softmax(dim=1)
    even = allowed / allowed.sum(dim=1, keepdim=True)  # (B, L)
    target = functional.one_hot(labels, logits.size(1)) * (1 - smoothing) + even * smoothing
    return -(target * log_probabilities.masked_fill(~allowed, 0.0)).sum(dim=1)


def distilled_loss(
    logits: Tensor, losses: Tensor, soft: Tensor, labelled: Tensor, config: DistilConfig
) -> Tensor:
    """Return the losses of rows of which some have soft labels too (Hinton et al., 2015).

    Args:
        logits: (B, L).
        losses: (B,) by each row's own label; ignored where a row has none.
        soft: (B, L) the teachers' probabilities at ``config.temperature``, NaN without.
        labelled: (B,) whether a row has a label of its own.
        config: the share of a labelled row's loss that goes by its soft label.

    Returns:
        (B,) losses.
    """
    softened = ~soft.isnan().any(dim=1)  # (B,)
    share = torch.where(labelled, config.soft_share * softened, 1.0)  # (B,)
    own = (logits / config.temperature).log_softmax(dim=1)  # (B, L)
    divergence = functional.kl_div(own, soft.nan_to_num(), reduction="none").sum(dim=1)  # (B,)
    # The gradient of a softened softmax shrinks by the square of the temperature.
    return (1 - share) * losses + share * config.temperature**2 * divergence


def logits_of(network: SentimentNetwork, sequences: Sequences, device: torch.device) -> Logits:
    """Return logits (N, L), in the order of the sequences."""
    logits = np.empty((len(sequences), len(LABELS)), dtype=np.float32)
    with torch.inference_mode():
        for group in group_by_length([len(sequence) for sequence in sequences]):
            ids, lengths = pad_tensors([sequences[index] for index in group], device)
            logits[group] = network(ids, lengths).float().cpu().numpy()
    return logits


def dev_scores(
    scores: NDArray[np.float64],
    examples: Sequence[Example],
    sources: Mapping[str, SourceConfig],
    choose_by: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Return accuracy, macro-F1 and number of texts of each set, and a ``mean`` ``score``.

    That score is the one to choose by: the mean over the sets in ``choose_by``, or over all if it
    is empty, of accuracy for two classes and of macro-F1 for three. It is taken of the rows that
    ``chooses`` allows, the others of all rows. Without such rows there is no ``mean``.

    Args:
        scores: (N, L) of each example; the highest wins.
        examples: the dev rows.
        sources: the sets that they name.
        choose_by: names of sets.
    """
    measured: dict[str, dict[str, float]] = {}
    chosen_by = []
    for name, indices in rows_by_source(examples).items():
        two_classes = sources[name].two_classes
        labels = np.array([examples[index].label for index in indices])
        predicted = predicted_labels(scores[indices], two_classes)
        measured[name] = {
            **accuracy_and_macro_f1(labels.tolist(), predicted),
            "texts": len(indices),
        }
        choosing = np.array([chooses(examples[index], choose_by) for index in indices])
        if choosing.any():
            scored = accuracy_and_macro_f1(labels[choosing].tolist(), predicted[choosing])
            chosen_by.append(scored["accuracy" if two_classes else "macro_f1"])
    if chosen_by:
        measured["mean"] = {"score": float(np.mean(chosen_by))}
    return measured
