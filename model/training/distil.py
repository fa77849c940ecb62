"""Distillation: larger networks give soft labels, and ours learns from them.

A teacher is an encoder that was pre-trained elsewhere, adapted to our text and fine-tuned on our
rows. Its answers, averaged with those of networks of our own that were fine-tuned with other seeds,
say more of a text than one label does (Hinton et al., 2015; for LSTMs Tang et al., 2019).

Letters in the shapes: B texts, T pieces of the longest, F features of the encoder, L labels.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from model.config import LABELS, SourceConfig, TeacherConfig
from model.corpora import Example, near_length_batches
from model.engines import Logits
from model.errors import ConfigError
from model.progress import Progress
from model.training.finetune import allowed_labels, row_weights, smoothed_loss
from model.training.optimization import (
    CHECKPOINT_STEPS,
    begin_step,
    finish_step,
    load_checkpoint,
    save_checkpoint,
    save_weights,
    schedule,
)

logger = logging.getLogger(__name__)

_HEAD = "head.safetensors"
_SETTINGS = "teacher.json"
_WARMUP_SHARE = 0.06
_WEIGHT_DECAY = 0.01
_MASKED_SHARE = 0.15
_PIECES_A_RUN = 8192


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
        """The ids of each text's pieces, those beyond ``longest`` cut off."""
        ids: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=self.longest
        )["input_ids"]
        return ids

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, L) of ids (B, T); the mask (B, T) is 1 where a piece is real."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, F)
        total = (states * mask[:, :, None]).sum(dim=1)  # (B, F)
        logits: Tensor = self.head(self.dropout(total / mask.sum(dim=1, keepdim=True)))
        return logits

    def batch(self, pieces: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
        """Right-padded ids (B, T) and their mask (B, T)."""
        width = max(map(len, pieces))
        ids = torch.full((len(pieces), width), self.tokenizer.pad_token_id)
        mask = torch.zeros(len(pieces), width, dtype=torch.long)
        for row, text in enumerate(pieces):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        return ids.to(device), mask.to(device)

    def logits(self, texts: Sequence[str]) -> Logits:
        """(texts, L) logits, in the order of the texts."""
        device = self.head.weight.device
        pieces = self.pieces(texts)
        order = sorted(range(len(texts)), key=lambda index: len(pieces[index]))
        logits = np.empty((len(texts), len(LABELS)), dtype=np.float32)
        self.eval()
        with Progress("teacher", len(texts)) as progress:
            start = 0
            while start < len(order):
                size = max(1, _PIECES_A_RUN // len(pieces[order[start]]))
                group = order[start : start + size]
                ids, mask = self.batch([pieces[index] for index in group], device)
                with torch.inference_mode(), _half(device):
                    logits[group] = self(ids, mask).float().cpu().numpy()
                start += size
                for _ in group:
                    progress.step()
        return logits


def _half(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16)


def load_teacher(directory: Path) -> Teacher:
    """A fine-tuned teacher, as ``teach`` leaves it in ``teachers/<name>`` of a run directory.

    Raises:
        ConfigError: the directory holds no teacher, or one that is not finished.
    """
    if not (directory / _HEAD).is_file():
        raise ConfigError(
            f"{directory} holds no fine-tuned teacher; name teachers/<name> of a run directory"
        )
    settings = json.loads((directory / _SETTINGS).read_text(encoding="utf-8"))
    teacher = _new_teacher(str(directory), settings["longest"])
    teacher.head.load_state_dict(load_file(directory / _HEAD))
    teacher.eval()
    return teacher


def _new_teacher(source: str, longest: int) -> Teacher:
    from transformers import AutoModel, AutoTokenizer  # seconds, for distillation alone

    encoder = AutoModel.from_pretrained(source)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # unused, so it would get no gradient
    return Teacher(encoder, AutoTokenizer.from_pretrained(source), longest)


def teach(
    settings: TeacherConfig,
    rows: Sequence[Example],
    unlabelled: Sequence[str],
    sources: dict[str, SourceConfig],
    *,
    seed: int,
    device: torch.device,
    run: Path,
) -> Teacher:
    """Adapts a teacher to our texts, fine-tunes it on our rows, and keeps it in ``run``.

    An interrupted run resumes from its checkpoint; a finished one is loaded. Rows of sets with
    two classes say nothing about neutral, as for the network.

    Raises:
        OSError: ``settings.directory`` holds no encoder in Hugging Face's form.
    """
    directory = run / "teachers" / settings.name
    _claim(directory, settings)
    if (directory / _HEAD).exists():
        return load_teacher(directory)
    torch.manual_seed(seed)
    start = settings.directory
    if settings.adapt_epochs:
        start = str(_adapt(settings, unlabelled, seed=seed, device=device, directory=directory))
    teacher = _new_teacher(start, settings.longest).to(device)
    chosen = [row for row in rows if not settings.sources or row.source in settings.sources]
    _finetune(teacher, settings, chosen, sources, seed=seed, device=device, directory=directory)
    teacher.encoder.save_pretrained(directory)  # type: ignore[operator]
    teacher.tokenizer.save_pretrained(directory)
    save_weights(directory / _HEAD, teacher.head.state_dict())  # says that all is there
    (directory / "finetune.checkpoint").unlink(missing_ok=True)
    return teacher


def _claim(directory: Path, settings: TeacherConfig) -> None:
    """Takes a directory for a teacher; what one of other settings left there goes."""
    content = settings.model_dump_json(indent=2) + "\n"
    path = directory / _SETTINGS
    if path.exists() and path.read_text(encoding="utf-8") != content:
        logger.info("teaching %s begins anew, with other settings", settings.name)
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def _finetune(
    teacher: Teacher,
    settings: TeacherConfig,
    rows: Sequence[Example],
    sources: dict[str, SourceConfig],
    *,
    seed: int,
    device: torch.device,
    directory: Path,
) -> None:
    _freeze(teacher.encoder, settings.frozen_layers)
    body = [parameter for parameter in teacher.encoder.parameters() if parameter.requires_grad]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(body, lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY),
        torch.optim.AdamW(teacher.head.parameters(), lr=settings.head_learning_rate),
    ]
    pieces = teacher.pieces([row.text for row in rows])
    labels = torch.tensor([row.label for row in rows])
    allowed = allowed_labels(rows, sources)
    weights = row_weights(rows, sources)
    batches = _epochs(pieces, settings.epochs, settings.batch_size, seed)

    def loss_of(batch: list[int]) -> Tensor:
        with _half(device):
            logits = teacher(*teacher.batch([pieces[index] for index in batch], device))
        losses = smoothed_loss(
            logits.float(), labels[batch].to(device), allowed[batch].to(device), 0.0
        )
        return (losses * weights[batch].to(device)).sum() / weights[batch].sum()

    checkpoint = directory / "finetune.checkpoint"
    _train(f"teaching {settings.name}", teacher, optimizers, batches, loss_of, checkpoint)


def _train(
    description: str,
    module: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    batches: Sequence[list[int]],
    loss_of: Callable[[list[int]], Tensor],
    checkpoint: Path,
) -> None:
    """Takes a step a batch by ``loss_of``; an interrupted run resumes from the checkpoint."""
    done = 0
    if checkpoint.exists():
        done = load_checkpoint(checkpoint, module, optimizers)["done"]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    parameters = [parameter for group in groups for parameter in group["params"]]
    module.train()
    with Progress(description, len(batches), done) as progress:
        for step in range(done, len(batches)):
            begin_step(optimizers, schedule(step, len(batches), _WARMUP_SHARE))
            loss = loss_of(batches[step])
            finish_step(loss, parameters, optimizers)
            progress.step(loss=loss.item())
            if (step + 1) % CHECKPOINT_STEPS == 0:
                save_checkpoint(checkpoint, module, optimizers, {"done": step + 1})


def _freeze(encoder: nn.Module, layers: int) -> None:
    """Keeps the embeddings and the ``layers`` lowest layers as they are; with 0 nothing."""
    if not layers:
        return
    modules = dict(encoder.named_modules())
    frozen = [modules["embeddings"], *cast("nn.ModuleList", modules["encoder.layer"])[:layers]]
    for module in frozen:
        module.requires_grad_(False)


def _epochs(
    pieces: Sequence[Sequence[int]], epochs: int, batch_size: int, seed: int
) -> list[list[int]]:
    lengths = [len(text) for text in pieces]
    return [
        batch
        for epoch in range(epochs)
        for batch in near_length_batches(
            lengths, np.random.default_rng((seed, epoch)), size=batch_size
        )
    ]


def _adapt(
    settings: TeacherConfig,
    texts: Sequence[str],
    *,
    seed: int,
    device: torch.device,
    directory: Path,
) -> Path:
    """Trains the encoder to fill in masked pieces of our texts (Devlin et al., 2019)."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    adapted = directory / "adapted"
    if (adapted / "config.json").exists():
        return adapted
    model = AutoModelForMaskedLM.from_pretrained(settings.directory).to(device)
    tokenizer = AutoTokenizer.from_pretrained(settings.directory)
    helper = Teacher(model.base_model, tokenizer, settings.longest)
    pieces = helper.pieces(texts)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY)
    ]
    batches = _epochs(pieces, settings.adapt_epochs, settings.batch_size, seed)

    def loss_of(batch: list[int]) -> Tensor:
        ids, mask = helper.batch([pieces[index] for index in batch], device)
        masked, wanted = mask_pieces(ids, mask, tokenizer)
        with _half(device):
            loss: Tensor = model(input_ids=masked, attention_mask=mask, labels=wanted).loss
        return loss

    checkpoint = directory / "adapt.checkpoint"
    _train(f"adapting {settings.name}", model, optimizers, batches, loss_of, checkpoint)
    unfinished = directory / "adapted.part"
    model.base_model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    shutil.rmtree(adapted, ignore_errors=True)
    unfinished.replace(adapted)
    checkpoint.unlink(missing_ok=True)
    return adapted


def mask_pieces(ids: Tensor, mask: Tensor, tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Ids (B, T) with 15 in 100 pieces to guess, and what they were; -100 elsewhere.

    Of those, 80 in 100 are masked, 10 replaced by any other piece, and 10 left.
    """
    special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids, device=ids.device))
    chosen = (torch.rand(ids.shape, device=ids.device) < _MASKED_SHARE) & mask.bool() & ~special
    wanted = ids.masked_fill(~chosen, -100)
    kind = torch.rand(ids.shape, device=ids.device)
    masked = ids.masked_fill(chosen & (kind < 0.8), tokenizer.mask_token_id)
    other = torch.randint_like(ids, len(tokenizer))
    return torch.where(chosen & (kind >= 0.8) & (kind < 0.9), other, masked), wanted


def soft_labels(logits: Sequence[Logits], temperature: float) -> NDArray[np.float32]:
    """(texts, L) the mean of several networks' probabilities at a temperature."""
    answers = [torch.from_numpy(one / temperature).softmax(dim=1) for one in logits]
    mean: NDArray[np.float32] = torch.stack(answers).mean(dim=0).numpy()
    return mean


def cached_logits(
    path: Path, texts: Sequence[str], answer: Callable[[Sequence[str]], Logits]
) -> Logits:
    """(texts, L) logits that ``answer`` gives, kept in an ``.npz`` file and computed once."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
    if path.exists():
        with np.load(path) as cached:
            if str(cached["digest"]) == digest:
                return np.asarray(cached["logits"])
    logits: Logits = answer(texts)
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, logits=logits, digest=digest)
    unfinished.replace(path)
    return logits
