"""The networks of a run: pre-training, teachers' soft labels, and fine-tuning."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from gettext import gettext as _
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from model.config import LABELS, DistilConfig, FinetuneConfig, SourceConfig
from model.corpora import UNLABELLED, Example
from model.engines import Logits
from model.network import SentimentNetwork
from model.training.curves import draw_curves
from model.training.distil import cached_logits, soft_labels, teach
from model.training.finetune import BEST_WEIGHTS, finetune, log_scores, logits_of
from model.training.optimization import Compute, History
from model.training.preparation import Prepared
from model.training.pretrain import pretrain
from model.training.rows import Rows, encode

logger = logging.getLogger(__name__)

_DRAWN_SOURCE = "unlabelled"


@dataclass(frozen=True)
class Fitted:
    """The network of a run and how it came about.

    Attributes:
        network: with the weights of the epoch best on dev, rounded to what an artifact stores.
        rows: what it was fine-tuned on, texts that teachers alone labelled among them.
        pretraining: the losses of the pre-training, if there was one.
        finetuning: the losses and dev scores of the fine-tuning.
    """

    network: SentimentNetwork
    rows: Rows
    pretraining: History
    finetuning: History


def fit(prepared: Prepared, run: Path, compute: Compute) -> Fitted:
    """Pre-train, ask teachers and fine-tune, as the configuration says; resumes what is in ``run``.

    The curves of the training are drawn into ``curves.png``.
    """
    config, settings = prepared.config, prepared.config.finetune
    reader: dict[str, Tensor] = {}
    pretraining: History = []
    if config.pretrain:
        words = prepared.encoder.vocabulary.words
        reader, pretraining = pretrain(prepared.pieces, words, config, compute, run)
    rows = prepared.train
    if config.distil:
        rows = _with_soft_labels(prepared, config.distil, reader, run, compute)
        settings = settings.model_copy(update={"epochs": config.distil.epochs})
    settings = settings.model_copy(update={"seed": config.finetuning_seed})
    network, finetuning = _finetuned(prepared, rows, settings, reader, run, compute)
    draw_curves(pretraining, finetuning, run / "curves.png")
    with torch.no_grad():  # so that what is calibrated and measured is what is stored
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    return Fitted(network, rows, pretraining, finetuning)


def _finetuned(
    prepared: Prepared,
    rows: Rows,
    settings: FinetuneConfig,
    reader: dict[str, Tensor],
    directory: Path,
    compute: Compute,
) -> tuple[SentimentNetwork, History]:
    """Fine-tune a new network with the seed in the settings; return it as it was best on dev.

    Its weights start as the artifact's that the run starts from, or those of the pre-trained
    ``reader``, or at random.
    """
    config = prepared.config.model_copy(update={"finetune": settings})
    torch.manual_seed(config.finetuning_seed)
    network = SentimentNetwork(len(prepared.encoder.vocabulary), len(LABELS), config.network)
    if prepared.start:
        weights = prepared.start.weights.items()
        network.load_state_dict({name: torch.from_numpy(value).float() for name, value in weights})
    elif reader:
        network.reader.load_state_dict(reader)
    network.to(compute.device)
    directory.mkdir(parents=True, exist_ok=True)
    if prepared.start:
        log_scores(_("before training"), network, prepared.dev, settings, compute)
    history = finetune(network, rows, prepared.dev, config, compute, directory)
    network.load_state_dict(load_file(directory / BEST_WEIGHTS))
    return network.float().eval(), history


def _with_soft_labels(
    prepared: Prepared,
    settings: DistilConfig,
    reader: dict[str, Tensor],
    run: Path,
    compute: Compute,
) -> Rows:
    """Return the rows with soft labels, and texts drawn from those without labels after them.

    The soft labels are the average of the teachers' answers and of those of networks of our own;
    rows of sets that are not distilled have none.
    """
    drawn = encode(
        prepared.encoder,
        _draw(prepared.unlabelled, settings.unlabelled, prepared.config.seed),
        {
            _DRAWN_SOURCE: SourceConfig(
                name=_DRAWN_SOURCE, train=(), weight=settings.unlabelled_weight
            )
        },
    )
    rows = prepared.train + drawn
    asked = [
        index
        for index, row in enumerate(rows.examples)
        if not settings.sources or row.source in (*settings.sources, _DRAWN_SOURCE)
    ]
    answers = _answers(prepared, settings, rows.select(asked), reader, run, compute)
    soft = np.full((len(rows), len(LABELS)), np.nan, dtype=np.float32)
    soft[asked] = soft_labels(answers, settings.temperature)
    return rows.with_soft(soft)


def _answers(
    prepared: Prepared,
    settings: DistilConfig,
    asked: Rows,
    reader: dict[str, Tensor],
    run: Path,
    compute: Compute,
) -> list[Logits]:
    """Return the logits (N, L) that each network among the teachers gives for N rows.

    First those of our own, then the pre-trained encoders, each of which is trained here unless
    ``run`` holds it.
    """
    config, train = prepared.config, prepared.train
    texts = [example.text for example in asked.examples]
    ids = dict(zip(texts, asked.ids, strict=True))
    answers = []
    for number in range(1, settings.networks + 1):
        seed = config.seed + 100 * number
        seeded = config.finetune.model_copy(update={"seed": seed})
        directory = run / "networks" / str(seed)
        network, _ = _finetuned(prepared, train, seeded, reader, directory, compute)
        answer = partial(_logits_of_texts, network, ids, compute.device)
        answers.append(cached_logits(directory / "logits.npz", texts, answer))
    for teacher in settings.teachers:
        taught = teach(
            teacher,
            train.examples,
            prepared.unlabelled,
            train.sources,
            seed=config.seed,
            device=compute.device,
            run=run,
        )
        path = run / "teachers" / teacher.name / "logits.npz"
        answers.append(cached_logits(path, texts, taught.to(compute.device).logits))
    return answers


def _logits_of_texts(
    network: SentimentNetwork,
    ids: Mapping[str, NDArray[np.int32]],
    device: torch.device,
    texts: Sequence[str],
) -> Logits:
    return logits_of(network, [ids[text] for text in texts], device)


def _draw(texts: list[str], count: int, seed: int) -> list[Example]:
    """Draw texts to learn from teachers alone; the same ones for the same seed."""
    generator = np.random.default_rng((seed, 11))
    chosen = generator.permutation(len(texts))[:count]
    return [Example(texts[index], UNLABELLED, _DRAWN_SOURCE) for index in sorted(chosen)]
