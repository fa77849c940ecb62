"""What every stage of training shares: the loop with its checkpoints, rates, batches as tensors.

Letters in the shapes: B sequences, T ids of the longest.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from gettext import gettext as _
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from model.corpora import near_length_batches
from model.engines import pad
from model.files import replacing
from model.progress import Progress

logger = logging.getLogger(__name__)

CHECKPOINT_STEPS = 500
MAX_GRADIENT_NORM = 1.0

Sequences = list[NDArray[np.int32]]
History = list[dict[str, float]]


@dataclass(frozen=True)
class Compute:
    """Where a run computes, and whether forward passes run in bfloat16."""

    device: torch.device
    bfloat16: bool = False

    def autocast(self) -> torch.autocast:
        """Return the context that forward passes run in; weights stay in float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)


def warmup_cosine(step: int, steps: int, warmup_share: float) -> float:
    """Return the share of the learning rate at a step: a linear warm-up, then half a cosine to 0.

    Args:
        step: counted from 0.
        steps: how many there are in all.
        warmup_share: the share of them that the warm-up takes.
    """
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class TrainingLoop:
    """The steps of one stage of training, resumed from its checkpoint if there is one.

    Iterating yields the number and the batch of each step still to do, with learning rates set
    and gradients cleared. The body computes the loss and passes it to ``update``:

        for step, batch in loop:
            loop.update(loss_of(batch))

    A checkpoint is written every ``CHECKPOINT_STEPS`` steps and after the last, when the body has
    finished the step. It holds everything that later steps depend on, random states included, so
    an interrupted stage ends with the same weights, to the bit, as one that ran through.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        batches: Sequence[list[int]],
        checkpoint: Path,
        *,
        warmup_share: float,
    ) -> None:
        self.history: History = []
        self._name = name
        self._network = network
        self._optimizers = optimizers
        self._batches = batches
        self._checkpoint = checkpoint
        self._warmup_share = warmup_share
        self._device = next(network.parameters()).device
        self._done = 0
        # Since the last record: the sum of the losses, how many, and the seconds up to ``_since``.
        self._loss, self._losses, self._seconds = 0.0, 0, 0.0
        self._since = time.monotonic()
        if checkpoint.exists():
            self._load()
            logger.info(_("resuming %s after step %d of %d"), name, self._done, len(batches))

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        steps = len(self._batches)
        self._since = time.monotonic()
        with Progress(self._name, steps, self._done) as self._progress:
            for step in range(self._done, steps):
                self._network.train()  # the body may have evaluated the network
                share = warmup_cosine(step, steps, self._warmup_share)
                for optimizer in self._optimizers:
                    for group in optimizer.param_groups:
                        group["lr"] = optimizer.defaults["lr"] * share
                    optimizer.zero_grad()
                yield step, self._batches[step]
                if self._done % CHECKPOINT_STEPS == 0 or self._done == steps:
                    self._save()

    def update(self, loss: Tensor, **figures: float) -> None:
        """Back-propagate the loss, bound the gradient, and step the optimizers.

        ``figures`` are shown beside the loss in the progress line.
        """
        loss.backward()
        # One norm over all parameters with dense gradients; sparse ones cannot be clipped.
        clipped = [
            parameter
            for optimizer in self._optimizers
            if not isinstance(optimizer, torch.optim.SparseAdam)
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        nn.utils.clip_grad_norm_(clipped, MAX_GRADIENT_NORM)
        for optimizer in self._optimizers:
            optimizer.step()
        self._done += 1
        value = loss.item()
        self._loss += value
        self._losses += 1
        self._progress.step(1, loss=value, **figures)

    def record(self, **figures: float) -> None:
        """Append the mean loss and the time since the last record, with ``figures``, to history.

        The time is in ``core_seconds`` on a CPU (seconds times threads), else in ``gpu_seconds``.
        Steps that an interruption threw away do not count.
        """
        seconds = self._elapsed()
        taken = (
            {"gpu_seconds": seconds}
            if self._device.type == "cuda"
            else {"core_seconds": seconds * torch.get_num_threads()}
        )
        loss = self._loss / self._losses
        self.history.append({"step": self._done, "loss": loss, **figures, **taken})
        self._loss, self._losses, self._seconds = 0.0, 0, 0.0

    def _elapsed(self) -> float:
        now = time.monotonic()
        self._seconds, self._since = self._seconds + now - self._since, now
        return self._seconds

    def _save(self) -> None:
        progress = {
            "done": self._done,
            "history": self.history,
            "loss": self._loss,
            "losses": self._losses,
            "seconds": self._elapsed(),
        }
        content = {
            "network": self._network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
            "progress": json.dumps(progress),
        }
        with replacing(self._checkpoint) as unfinished:
            torch.save(content, unfinished)

    def _load(self) -> None:
        content = torch.load(self._checkpoint, map_location="cpu", weights_only=True)
        self._network.load_state_dict(content["network"])
        for optimizer, state in zip(self._optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        torch.set_rng_state(content["random"])
        torch.cuda.set_rng_state_all(content["random_cuda"])
        progress = json.loads(content["progress"])
        self._done, self.history = progress["done"], progress["history"]
        self._loss, self._losses = progress["loss"], progress["losses"]
        self._seconds = progress["seconds"]


def epoch_batches(
    sequences: Sequence[Sized], epochs: int, seed: int, *, size: int, tokens: int | None = None
) -> list[list[list[int]]]:
    """Return the batches of each epoch, as indices of sequences; the same for the same seed.

    ``size`` and ``tokens`` are those of ``near_length_batches``.
    """
    lengths = [len(sequence) for sequence in sequences]
    return [
        near_length_batches(lengths, np.random.default_rng((seed, epoch)), size=size, tokens=tokens)
        for epoch in range(epochs)
    ]


def pad_tensors(
    sequences: Sequence[NDArray[np.int32]], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return right-padded ids (B, T) and lengths (B,) on a device."""
    ids, lengths = pad(sequences)
    return torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write tensors to a file that is never half written: an interruption leaves the old one."""
    with replacing(path) as unfinished:
        save_file(weights, unfinished)
