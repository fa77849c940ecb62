"""What pre-training and fine-tuning share: rates, batches as tensors, checkpoints."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from model.engines import pad

CHECKPOINT_STEPS = 500
_LARGEST_GRADIENT = 1.0

Sequences = list[NDArray[np.int32]]
History = list[dict[str, float]]


def time_taken(seconds: float, device: torch.device) -> dict[str, float]:
    """What a history records of a stretch of training: ``core_seconds`` or ``gpu_seconds``."""
    if device.type == "cuda":
        return {"gpu_seconds": seconds}
    return {"core_seconds": seconds * torch.get_num_threads()}


def schedule(step: int, steps: int, warmup_share: float) -> float:
    """The share of the learning rate at a step: a linear warm-up, then half a cosine to 0."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def begin_step(optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    """Sets each optimizer to a share of the rate that it was made with, and clears gradients."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = optimizer.defaults["lr"] * share
        optimizer.zero_grad()


def finish_step(
    loss: Tensor, clipped: Iterable[nn.Parameter], optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Back-propagates, bounds the gradient of the parameters to be ``clipped``, and steps."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(clipped, _LARGEST_GRADIENT)
    for optimizer in optimizers:
        optimizer.step()


def pad_tensors(
    sequences: Sequence[NDArray[np.int32]], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Right-padded ids (B, T) and lengths (B,) on a device."""
    ids, lengths = pad(sequences)
    return torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Writes tensors in one piece: an interruption leaves the previous file whole."""
    unfinished = path.with_suffix(".part")
    save_file(weights, unfinished)
    unfinished.replace(path)


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    progress: dict[str, Any],
) -> None:
    """Writes what a stage needs to go on where it was interrupted, in one piece."""
    content = {
        "network": network.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all(),
        "progress": json.dumps(progress),
    }
    unfinished = path.with_suffix(".part")
    torch.save(content, unfinished)
    unfinished.replace(path)


def load_checkpoint(
    path: Path, network: nn.Module, optimizers: list[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Restores a checkpoint in place and returns the ``progress`` that it was saved with."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(content["network"])
    for optimizer, state in zip(optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    torch.set_rng_state(content["random"])
    torch.cuda.set_rng_state_all(content["random_cuda"])
    progress: dict[str, Any] = json.loads(content["progress"])
    return progress
