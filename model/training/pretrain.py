"""Language-model pre-training: the classifier's LSTMs first learn to predict words.

Letters in the shapes: B pieces of text, T ids of the longest, V words, S sampled words.
"""

from collections.abc import Sequence
from gettext import gettext as _
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.config import RunConfig
from model.network import LanguageModel
from model.training.optimization import (
    Compute,
    History,
    Sequences,
    TrainingLoop,
    epoch_batches,
    pad_tensors,
)

_WARMUP_SHARE = 0.02
_RECORD_STEPS = 500


def pretrain(
    sequences: Sequences, words: Sequence[str], config: RunConfig, compute: Compute, run: Path
) -> tuple[dict[str, Tensor], History]:
    """Train the two LSTMs as language models, resuming from the checkpoint in ``run``.

    Args:
        sequences: the ids of pieces of text, each of two or more.
        words: the vocabulary.
        config: the whole run; ``config.pretrain`` must be set.
        compute: where and how.
        run: the directory of the checkpoint. That of a finished pre-training is only loaded.

    Returns:
        The reader's weights, and the loss and the time taken, every few hundred steps.
    """
    settings = config.pretrain
    assert settings is not None
    device = compute.device
    torch.manual_seed(config.seed)
    sizes = config.network.model_copy(update={"input_dropout": settings.dropout})
    model = LanguageModel(words, sizes).to(device)
    noise = _noise(sequences, len(words)).to(device)  # (V,)
    samples = min(settings.samples, int((noise > 0).sum()))  # S
    log_expected = _log_expected(noise, samples)  # (V,)
    epochs = epoch_batches(
        sequences,
        settings.epochs,
        config.seed,
        size=settings.batch_tokens // 32,
        tokens=settings.batch_tokens,
    )
    batches = [*chain.from_iterable(epochs)]
    loop = TrainingLoop(
        _("pre-training"),
        model,
        _optimizers(model, settings.learning_rate),
        batches,
        run / "pretrain.checkpoint",
        warmup_share=_WARMUP_SHARE,
    )
    for step, batch in loop:
        ids, lengths = pad_tensors([sequences[index] for index in batch], device)  # (B, T), (B,)
        sampled = torch.multinomial(noise, samples)  # (S,)
        with compute.autocast():
            loss = model(ids, lengths, sampled, log_expected)
        loop.update(loss)
        if (step + 1) % _RECORD_STEPS == 0 or step + 1 == len(batches):
            loop.record()
    return {name: tensor.cpu() for name, tensor in model.trained_reader().items()}, loop.history


def _optimizers(model: LanguageModel, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Return one optimizer for the LSTMs and projections, one for the embeddings.

    A batch has few of all words, so the embeddings' gradients are sparse.
    """
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
    sparse = [*model.vectors.parameters(), model.bias.weight]
    return [
        torch.optim.AdamW(dense, lr=learning_rate),
        torch.optim.SparseAdam(sparse, lr=learning_rate),
    ]


def _noise(sequences: Sequences, words: int) -> Tensor:
    """Return the distribution (V,) that words are sampled by.

    Frequencies to the power 0.75 (Mikolov et al., 2013), so that rare words are sampled too.
    """
    counts = np.bincount(np.concatenate(sequences), minlength=words)
    powered = counts**0.75
    return torch.from_numpy(powered / powered.sum())


def _log_expected(noise: Tensor, samples: int) -> Tensor:
    """Return the log of the probability of each word (V,) to be among the samples.

    That of independent draws; words are drawn without replacement, where it is nearly the same.
    """
    expected = -torch.expm1(samples * torch.log1p(-noise))
    return expected.clamp_min(1e-12).log().float()
