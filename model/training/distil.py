"""Distillation: larger networks give soft labels, and ours learns from them.

A teacher is an encoder that was pre-trained elsewhere, adapted to our text and fine-tuned on our
rows. Its answers, averaged with those of networks of our own that were fine-tuned with other seeds,
say more about a text than one label does (Hinton et al., 2015; for LSTMs Tang et al., 2019).

Letters in the shapes: N rows, B texts of a batch, T pieces of the longest, F features of the
encoder, L labels.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from model.config import LABELS, SourceConfig, TeacherConfig
from model.corpora import Example
from model.engines import Logits
from model.errors import ConfigError
from model.files import replacing
from model.progress import Progress
from model.training.finetune import smoothed_loss
from model.training.optimization import TrainingLoop, epoch_batches, save_weights
from model.training.rows import SoftLabels, allowed_labels, row_weights
from model.training.run_directory import (
    data_digest,
    read_settings,
    teacher_settings,
    write_settings,
)

logger = logging.getLogger(__name__)

_HEAD = "head.safetensors"
_SETTINGS = "teacher.json"
_WARMUP_SHARE = 0.06
_WEIGHT_DECAY = 0.01
_MASKED_SHARE = 0.15
_MAX_PIECES_PER_BATCH = 8192


class Teacher(nn.Module):
    """An encoder in Hugging Face's form, the mean of its states, and a linear layer on top."""

    def __init__(self, encoder: nn.Module, tokenizer: Any, longest: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.longest = longest
        features: int = encoder.config.hidden_size  # type: ignore[union-attr, assignment]
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(features, len(LABELS))

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text's pieces, cut off after ``longest``."""
        ids: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=self.longest
        )["input_ids"]
        return ids

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits (B, L) of ids (B, T); the mask (B, T) is 1 where a piece is real."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, F)
        total = (states * mask[:, :, None]).sum(dim=1)  # (B, F)
        logits: Tensor = self.head(self.dropout(total / mask.sum(dim=1, keepdim=True)))
        return logits

    def batch(self, pieces: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return right-padded ids (B, T) and their mask (B, T)."""
        width = max(map(len, pieces))
        ids = torch.full((len(pieces), width), self.tokenizer.pad_token_id)
        mask = torch.zeros(len(pieces), width, dtype=torch.long)
        for row, text in enumerate(pieces):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        return ids.to(device), mask.to(device)

    def logits(self, texts: Sequence[str]) -> Logits:
        """Return logits (texts, L), in the order of the texts."""
        device = self.head.weight.device
        pieces = self.pieces(texts)
        order = sorted(range(len(texts)), key=lambda index: len(pieces[index]))
        logits = np.empty((len(texts), len(LABELS)), dtype=np.float32)
        self.eval()
        with Progress("teacher", len(texts)) as progress:
            start = 0
            while start < len(order):
                size = max(1, _MAX_PIECES_PER_BATCH // len(pieces[order[start]]))
                group = order[start : start + size]
                ids, mask = self.batch([pieces[index] for index in group], device)
                with torch.inference_mode(), _half(device):
                    logits[group] = self(ids, mask).float().cpu().numpy()
                start += size
                for _ in group:
                    progress.step()
        return logits


def _half(device: torch.device) -> torch.autocast:
    # Whatever the run's own precision: teachers are large, and only their answers are kept.
    return torch.autocast(device.type, dtype=torch.bfloat16)


def load_teacher(directory: Path) -> Teacher:
    """Load a fine-tuned teacher, as ``teach`` leaves it in ``teachers/<name>`` of a run.

    Raises:
        ConfigError: the directory holds no teacher, or one whose training is unfinished.
    """
    settings = read_settings(directory / _SETTINGS)
    if settings is None or not (directory / _HEAD).is_file():
        raise ConfigError(
            f"{directory} holds no fine-tuned teacher; name teachers/<name> of a run directory"
        )
    teacher = _new_teacher(str(directory), settings["longest"])
    teacher.head.load_state_dict(load_file(directory / _HEAD))
    teacher.eval()
    return teacher


def _new_teacher(source: str, longest: int) -> Teacher:
    from transformers import AutoModel, AutoTokenizer  # takes seconds; only distillation needs it

    encoder = AutoModel.from_pretrained(source)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # unused, so it would get no gradient
    return Teacher(encoder, AutoTokenizer.from_pretrained(source), longest)


def teach(
    settings: TeacherConfig,
    rows: Sequence[Example],
    unlabelled: Sequence[str],
    sources: Mapping[str, SourceConfig],
    *,
    seed: int,
    device: torch.device,
    run: Path,
) -> Teacher:
    """Adapt a teacher to our texts, fine-tune it on our rows, and keep it in ``run``.

    An interrupted training resumes from its checkpoint; a finished teacher is loaded. Rows of
    sets with two classes say nothing about neutral, as for the network.

    Args:
        settings: which encoder, and how it is trained.
        rows: the labelled texts; those of ``settings.sources`` are used.
        unlabelled: the texts to adapt it to.
        sources: the sets that the rows name.
        seed: of the order of batches, of dropout and of the new layer.
        device: where to train.
        run: the run directory; the teacher lies in ``teachers/<name>`` of it.

    Raises:
        OSError: ``settings.directory`` holds no encoder in Hugging Face's form.
    """
    directory = run / "teachers" / settings.name
    chosen = [row for row in rows if not settings.sources or row.source in settings.sources]
    weights = row_weights(chosen, sources)  # (N,)
    read = unlabelled if settings.adapt_epochs else ()
    _bind_directory(directory, settings, data_digest(chosen, map(str, weights.tolist()), read))
    if (directory / _HEAD).exists():
        return load_teacher(directory)
    torch.manual_seed(seed)
    start = settings.directory
    if settings.adapt_epochs:
        start = str(_adapt(settings, unlabelled, seed=seed, device=device, directory=directory))
        torch.manual_seed(seed)  # whether it was adapted now or before an interruption
    teacher = _new_teacher(start, settings.longest).to(device)
    allowed = allowed_labels(chosen, sources)  # (N, L)
    _finetune(teacher, settings, chosen, allowed, weights, seed=seed, directory=directory)
    teacher.encoder.save_pretrained(directory)  # type: ignore[operator]
    teacher.tokenizer.save_pretrained(directory)
    save_weights(directory / _HEAD, teacher.head.state_dict())  # last: it marks a whole teacher
    (directory / "finetune.checkpoint").unlink(missing_ok=True)
    return teacher


def _bind_directory(directory: Path, settings: TeacherConfig, data: str) -> None:
    """Bind a directory to a teacher's settings and data; delete what others left there."""
    wanted = teacher_settings(settings) | {"data": data}
    if read_settings(directory / _SETTINGS) not in (None, wanted):
        logger.info("settings or rows of teacher %s changed; training it again", settings.name)
        (directory / _HEAD).unlink(missing_ok=True)  # first: it marks a whole teacher
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    write_settings(directory / _SETTINGS, wanted)


def _finetune(
    teacher: Teacher,
    settings: TeacherConfig,
    rows: Sequence[Example],
    allowed: Tensor,
    weights: Tensor,
    *,
    seed: int,
    directory: Path,
) -> None:
    device = teacher.head.weight.device
    _freeze(teacher.encoder, settings.frozen_layers)
    body = [parameter for parameter in teacher.encoder.parameters() if parameter.requires_grad]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(body, lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY),
        torch.optim.AdamW(teacher.head.parameters(), lr=settings.head_learning_rate),
    ]
    pieces = teacher.pieces([row.text for row in rows])
    labels = torch.tensor([row.label for row in rows])  # (N,)
    loop = TrainingLoop(
        f"fine-tuning {settings.name}",
        teacher,
        optimizers,
        _batches(pieces, settings.epochs, settings.batch_size, seed),
        directory / "finetune.checkpoint",
        warmup_share=_WARMUP_SHARE,
    )
    for _, batch in loop:
        with _half(device):
            logits = teacher(*teacher.batch([pieces[index] for index in batch], device))  # (B, L)
        losses = smoothed_loss(
            logits.float(), labels[batch].to(device), allowed[batch].to(device), 0.0
        )
        loop.update((losses * weights[batch].to(device)).sum() / weights[batch].sum())


def _freeze(encoder: nn.Module, layers: int) -> None:
    """Freeze the embeddings and the ``layers`` lowest layers; none of them for 0."""
    if not layers:
        return
    modules = dict(encoder.named_modules())
    frozen = [modules["embeddings"], *cast("nn.ModuleList", modules["encoder.layer"])[:layers]]
    for module in frozen:
        module.requires_grad_(False)


def _batches(
    pieces: Sequence[Sequence[int]], epochs: int, batch_size: int, seed: int
) -> list[list[int]]:
    """Return the indices of the texts of each step, all epochs in a row."""
    return [*chain.from_iterable(epoch_batches(pieces, epochs, seed, size=batch_size))]


def _adapt(
    settings: TeacherConfig,
    texts: Sequence[str],
    *,
    seed: int,
    device: torch.device,
    directory: Path,
) -> Path:
    """Train the encoder to fill in masked pieces of our texts (Devlin et al., 2019)."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    adapted = directory / "adapted"
    if (adapted / "config.json").exists():
        return adapted
    model = AutoModelForMaskedLM.from_pretrained(settings.directory).to(device)
    tokenizer = AutoTokenizer.from_pretrained(settings.directory)
    helper = Teacher(model.base_model, tokenizer, settings.longest)
    pieces = helper.pieces(texts)
    checkpoint = directory / "adapt.checkpoint"
    loop = TrainingLoop(
        f"adapting {settings.name}",
        model,
        [
            torch.optim.AdamW(
                model.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY
            )
        ],
        _batches(pieces, settings.adapt_epochs, settings.batch_size, seed),
        checkpoint,
        warmup_share=_WARMUP_SHARE,
    )
    for _, batch in loop:
        ids, mask = helper.batch([pieces[index] for index in batch], device)  # (B, T) each
        masked, wanted = mask_pieces(ids, mask, tokenizer)
        with _half(device):
            loss = model(input_ids=masked, attention_mask=mask, labels=wanted).loss
        loop.update(loss)
    with replacing(adapted) as unfinished:
        model.base_model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        shutil.rmtree(adapted, ignore_errors=True)
    checkpoint.unlink(missing_ok=True)
    return adapted


def mask_pieces(ids: Tensor, mask: Tensor, tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Return ids (B, T) with 15% of the pieces to guess, and what they were; -100 elsewhere.

    Of those pieces 80% are masked, 10% replaced by any other piece, and 10% left as they are.

    Args:
        ids: (B, T).
        mask: (B, T), 1 where a piece is real.
        tokenizer: knows which pieces are special; these are never chosen.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids, device=ids.device))
    chosen = (torch.rand(ids.shape, device=ids.device) < _MASKED_SHARE) & mask.bool() & ~special
    wanted = ids.masked_fill(~chosen, -100)
    kind = torch.rand(ids.shape, device=ids.device)
    masked = ids.masked_fill(chosen & (kind < 0.8), tokenizer.mask_token_id)
    other = torch.randint_like(ids, len(tokenizer))
    return torch.where(chosen & (kind >= 0.8) & (kind < 0.9), other, masked), wanted


def soft_labels(logits: Sequence[Logits], temperature: float) -> SoftLabels:
    """Return the mean (texts, L) of several networks' probabilities at a temperature."""
    answers = [torch.from_numpy(one / temperature).softmax(dim=1) for one in logits]
    mean: SoftLabels = torch.stack(answers).mean(dim=0).numpy()
    return mean


def cached_logits(
    path: Path, texts: Sequence[str], answer: Callable[[Sequence[str]], Logits]
) -> Logits:
    """Return the logits (texts, L) that ``answer`` gives, asked once per text and kept in a file.

    Args:
        path: an ``.npz`` file; it is written again when it lacks a text.
        texts: the texts.
        answer: gives logits (texts, L).
    """
    if not texts:
        return np.empty((0, len(LABELS)), dtype=np.float32)
    keys = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in texts]
    known: dict[bytes, Logits] = {}
    if path.exists():
        with np.load(path) as cached:
            known = dict(zip(cached["keys"].tolist(), cached["logits"], strict=True))
    if missing := {key: text for key, text in zip(keys, texts, strict=True) if key not in known}:
        known |= zip(missing, answer([*missing.values()]), strict=True)
        stored = np.array([*known], dtype="V32")  # (texts,)
        with replacing(path) as unfinished:
            np.savez(unfinished, keys=stored, logits=np.stack([*known.values()]))
    return np.stack([known[key] for key in keys])
