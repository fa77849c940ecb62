"""Fine-tuning: the classifier learns from labelled texts."""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.config import LABELS, NEUTRAL, DistilConfig, RunConfig, SourceConfig
from model.corpora import UNLABELLED, Example, near_length_batches
from model.engines import Logits, group_by_length
from model.network import SentimentNetwork
from model.progress import Progress
from model.scores import accuracy_and_macro_f1, predicted_labels
from model.text.vocabulary import PADDING_ID, UNKNOWN_ID
from model.training.optimization import (
    CHECKPOINT_STEPS,
    History,
    Sequences,
    begin_step,
    finish_step,
    load_checkpoint,
    pad_tensors,
    save_checkpoint,
    save_weights,
    schedule,
    time_taken,
)

logger = logging.getLogger(__name__)

_WARMUP_SHARE = 0.05


def finetune(
    network: SentimentNetwork,
    train: Sequence[Example],
    dev: Sequence[Example],
    encoded_train: Sequences,
    encoded_dev: Sequences,
    sources: dict[str, SourceConfig],
    config: RunConfig,
    device: torch.device,
    autocast: torch.autocast,
    run: Path,
    soft: NDArray[np.float32] | None = None,
) -> History:
    """Trains the classifier and leaves the weights of the epoch best on dev in ``run``.

    ``soft`` (texts, L) are the soft labels of the training rows, NaN where a row has none; a row
    whose label is ``UNLABELLED`` has nothing else.
    """
    settings = config.finetune
    seed = config.finetuning_seed
    checkpoint = run / "finetune.checkpoint"
    embedding = network.reader.embedding.weight
    dense = [parameter for parameter in network.parameters() if parameter is not embedding]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(dense, lr=settings.learning_rate, weight_decay=settings.weight_decay),
        torch.optim.SparseAdam([embedding], lr=settings.embedding_learning_rate),
    ]

    labels = torch.tensor([example.label for example in train])
    allowed = allowed_labels(train, sources)
    weights = row_weights(train, sources)

    softened = None if soft is None else torch.from_numpy(soft)
    lengths = [len(ids) for ids in encoded_train]
    epochs = [
        near_length_batches(lengths, np.random.default_rng((seed, epoch)), size=settings.batch_size)
        for epoch in range(settings.epochs)
    ]
    steps = sum(map(len, epochs))
    done, history, best, total, seconds = 0, History(), -1.0, 0.0, 0.0
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, network, optimizers)
        done, history = progress["done"], progress["history"]
        best, total, seconds = progress["best"], progress["total"], progress["seconds"]
        logger.info("fine-tuning goes on behind step %d of %d", done, steps)

    step, since = 0, time.monotonic()
    with Progress("fine-tuning", steps, done) as progress_bar:
        for epoch, batches in enumerate(epochs):
            network.train()
            for batch in batches:
                step += 1
                if step <= done:
                    continue
                begin_step(optimizers, schedule(step - 1, steps, _WARMUP_SHARE))
                ids, sizes = pad_tensors([encoded_train[index] for index in batch], device)
                unknown = torch.rand(ids.shape, device=device) < settings.word_dropout
                ids = ids.masked_fill(unknown & (ids != PADDING_ID), UNKNOWN_ID)
                with autocast:
                    logits = network(ids, sizes)
                losses = smoothed_loss(
                    logits.float(),
                    labels[batch].to(device).clamp_min(0),
                    allowed[batch].to(device),
                    settings.label_smoothing,
                )
                if softened is not None and config.distil:
                    losses = distilled_loss(
                        logits.float(),
                        losses,
                        softened[batch].to(device),
                        (labels[batch] != UNLABELLED).to(device),
                        config.distil,
                    )
                loss = (losses * weights[batch].to(device)).mean()
                finish_step(loss, dense, optimizers)
                total += loss.item()
                if step % CHECKPOINT_STEPS == 0 and step != steps:
                    seconds, since = seconds + time.monotonic() - since, time.monotonic()
                    state = _progress(step, history, best, total, seconds)
                    save_checkpoint(checkpoint, network, optimizers, state)
                dev_score = history[-1]["dev"] if history else float("nan")
                progress_bar.step(loss=loss.item(), dev=dev_score)
            if step <= done and len(history) > epoch:
                continue
            network.eval()
            logits_dev = logits_of(network, encoded_dev, device)
            scored = dev_scores(logits_dev.astype(np.float64), dev, sources, settings.choose_by)
            dev_score = scored["mean"]["score"]
            seconds, since = seconds + time.monotonic() - since, time.monotonic()
            history.append(
                {
                    "epoch": epoch + 1,
                    "step": step,
                    "loss": total / len(batches),
                    "dev": dev_score,
                    **time_taken(seconds, device),
                }
            )
            logger.info("epoch %d: loss %.4f, dev %s", epoch + 1, total / len(batches), scored)
            total = seconds = 0.0
            if dev_score > best:
                best = dev_score
                save_weights(run / "best.safetensors", network.state_dict())
            state = _progress(step, history, best, total, seconds)
            save_checkpoint(checkpoint, network, optimizers, state)
            (run / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    return history


def _progress(
    done: int, history: History, best: float, total: float, seconds: float
) -> dict[str, Any]:
    """What a checkpoint holds beside weights: where it was, and the open epoch's loss and time."""
    return {"done": done, "history": history, "best": best, "total": total, "seconds": seconds}


def row_weights(examples: Sequence[Example], sources: dict[str, SourceConfig]) -> Tensor:
    """(texts,) what the loss of each row is multiplied by."""
    return torch.tensor([sources[example.source].weight * example.weight for example in examples])


def allowed_labels(examples: Sequence[Example], sources: dict[str, SourceConfig]) -> Tensor:
    """(texts, L) which labels each row could have had."""
    allowed = torch.ones(len(examples), len(LABELS), dtype=torch.bool)
    allowed[[sources[example.source].two_classes for example in examples], NEUTRAL] = False
    return allowed


def smoothed_loss(logits: Tensor, labels: Tensor, allowed: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy over the allowed labels alone, with label smoothing among them.

    A row from a set that was labelled positive or negative alone says nothing about neutral, so
    its neutral logit neither enters the softmax nor gets a gradient.

    Args:
        logits: (B, L).
        labels: (B,) the right one of each row.
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
    """The losses of rows that have soft labels too (Hinton et al., 2015).

    Args:
        logits: (B, L).
        losses: (B,) by each row's own label; of no meaning where a row has none.
        soft: (B, L) the teachers' probabilities at ``config.temperature``, NaN without.
        labelled: (B,) whether a row has a label of its own.
        config: what share of a labelled row's loss goes by its soft label.

    Returns:
        (B,) losses.
    """
    softened = ~soft.isnan().any(dim=1)
    share = torch.where(labelled, config.soft_share * softened, 1.0)
    own = (logits / config.temperature).log_softmax(dim=1)
    divergence = functional.kl_div(own, soft.nan_to_num(), reduction="none").sum(dim=1)
    # The gradient of a softened softmax shrinks by the square of the temperature.
    return (1 - share) * losses + share * config.temperature**2 * divergence


def logits_of(network: SentimentNetwork, sequences: Sequences, device: torch.device) -> Logits:
    """(texts, labels) logits, in the order of the sequences."""
    logits = np.empty((len(sequences), len(LABELS)), dtype=np.float32)
    with torch.inference_mode():
        for group in group_by_length([len(sequence) for sequence in sequences]):
            ids, lengths = pad_tensors([sequences[index] for index in group], device)
            logits[group] = network(ids, lengths).float().cpu().numpy()
    return logits


def rows_by_source(examples: Sequence[Example]) -> dict[str, list[int]]:
    """Where the rows of each source stand."""
    indices: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        indices.setdefault(example.source, []).append(index)
    return indices


def dev_scores(
    scores: NDArray[np.float64],
    examples: Sequence[Example],
    sources: dict[str, SourceConfig],
    choose_by: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Accuracy and macro-F1 of each source's dev split, and under ``mean`` the score to choose by.

    That is the mean over the sources in ``choose_by``, without any over all, of accuracy for two
    classes and of macro-F1 for three.
    """
    metrics: dict[str, dict[str, float]] = {}
    chosen_by = []
    for name, indices in rows_by_source(examples).items():
        two_classes = sources[name].two_classes
        chosen = predicted_labels(scores[indices], two_classes)
        metrics[name] = accuracy_and_macro_f1([examples[index].label for index in indices], chosen)
        if not choose_by or name in choose_by:
            chosen_by.append(metrics[name]["accuracy" if two_classes else "macro_f1"])
    metrics["mean"] = {"score": float(np.mean(chosen_by))}
    return metrics
