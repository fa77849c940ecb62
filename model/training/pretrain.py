"""Language-model pre-training: the classifier's LSTMs first learn to predict words."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.config import NetworkConfig, PretrainConfig
from model.corpora import near_length_batches
from model.network import LanguageModel
from model.progress import Progress
from model.training.optimization import (
    CHECKPOINT_STEPS,
    History,
    Sequences,
    begin_step,
    finish_step,
    load_checkpoint,
    pad_tensors,
    save_checkpoint,
    schedule,
    time_taken,
)

logger = logging.getLogger(__name__)

_WARMUP_SHARE = 0.02


def pretrain(
    sequences: Sequences,
    words: Sequence[str],
    network: NetworkConfig,
    config: PretrainConfig,
    *,
    seed: int,
    device: torch.device,
    autocast: torch.autocast,
    directory: Path,
) -> tuple[dict[str, Tensor], History]:
    """Trains the two LSTMs as language models on sequences of ids.

    Goes on from the checkpoint in ``directory``, which also says when nothing is left to do.

    Returns:
        The reader's weights, and the losses along the way.
    """
    checkpoint = directory / "pretrain.checkpoint"
    model = LanguageModel(words, network.model_copy(update={"input_dropout": config.dropout})).to(
        device
    )
    sparse = [*model.vectors.parameters(), model.bias.weight]
    dense = [
        parameter
        for part in (
            model.reader.forward_lstm,
            model.reader.backward_lstm,
            model.forward_projection,
            model.backward_projection,
        )
        for parameter in part.parameters()
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(dense, lr=config.learning_rate),
        torch.optim.SparseAdam(sparse, lr=config.learning_rate),
    ]

    counts = np.bincount(np.concatenate(sequences), minlength=len(words))
    powered = counts**0.75
    distribution = torch.from_numpy(powered / powered.sum()).to(device)
    drawn = min(config.samples, int((counts > 0).sum()))
    # How likely a word is among as many draws; drawn without replacement it is about the same.
    expected = -torch.expm1(drawn * torch.log1p(-distribution))
    log_expected = expected.clamp_min(1e-12).log().float()

    lengths = [len(sequence) for sequence in sequences]
    plan = [
        near_length_batches(
            lengths,
            np.random.default_rng((seed, epoch)),
            size=config.batch_tokens // 32,
            tokens=config.batch_tokens,
        )
        for epoch in range(config.epochs)
    ]
    batches = [batch for epoch in plan for batch in epoch]
    history: History = []
    done = 0
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, optimizers)
        done, history = progress["done"], progress["history"]
        logger.info("pre-training goes on behind step %d of %d", done, len(batches))

    model.train()
    total, since = 0.0, time.monotonic()
    with Progress("pre-training", len(batches), done) as progress_bar:
        for step in range(done, len(batches)):
            begin_step(optimizers, schedule(step, len(batches), _WARMUP_SHARE))
            ids, sizes = pad_tensors([sequences[index] for index in batches[step]], device)
            samples = torch.multinomial(distribution, drawn)
            with autocast:
                loss = model(ids, sizes, samples, log_expected)
            finish_step(loss, dense, optimizers)
            total += loss.item()
            progress_bar.step(loss=loss.item())
            if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == len(batches):
                now = time.monotonic()
                mean = total / (step % CHECKPOINT_STEPS + 1)
                taken = time_taken(now - since, device)
                history.append({"step": step + 1, "loss": mean, **taken})
                total, since = 0.0, now
                save_checkpoint(
                    checkpoint, model, optimizers, {"done": step + 1, "history": history}
                )
    return {name: tensor.cpu() for name, tensor in model.trained_reader().items()}, history
