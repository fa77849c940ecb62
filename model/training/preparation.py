"""What a run trains on: texts, vocabulary and ids, and the rows of fine-tuning and of dev."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from gettext import gettext as _
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import artifact as artifacts
from model.artifact import Artifact
from model.classifier import softmax
from model.config import LABELS, ReplayConfig, RunConfig, SourceConfig
from model.corpora import (
    UNLABELLED,
    Example,
    Splits,
    load_blocklist,
    load_splits,
    load_unlabelled,
)
from model.engines import TorchEngine, group_by_length
from model.errors import ConfigError, DataError
from model.files import replacing
from model.progress import Progress
from model.text.encoding import Encoder
from model.text.pipeline import TextPipeline
from model.text.stopwords import default_stopwords
from model.text.vocabulary import Vocabulary
from model.training.optimization import Sequences
from model.training.rows import Rows, chooses, encode
from model.training.run_directory import bind_run_directory, data_digest
from model.training.templates import (
    CURATED_SOURCE,
    TEMPLATE_SOURCE,
    curated_sentences,
    shipped_sentences,
    template_sentences,
)

logger = logging.getLogger(__name__)

REPLAY_SOURCE = "replay"


@dataclass(frozen=True)
class Prepared:
    """Everything that the networks of a run learn from and are chosen by.

    Attributes:
        config: the run's, with the text pipeline and the network of ``start``.
        start: the artifact that training starts from, if any.
        stopwords: in the order in which an artifact lists them.
        encoder: the one way from a text to ids.
        splits: the labelled texts as they were read.
        unlabelled: distinct texts without labels; none without pre-training.
        pieces: the ids to pre-train on, in pieces of bounded length; none without pre-training.
        train: the rows to fine-tune on: without the sets left out, with the synthetic ones.
        dev: the rows to choose the best epoch and to calibrate by.
    """

    config: RunConfig
    start: Artifact | None
    stopwords: tuple[str, ...]
    encoder: Encoder
    splits: Splits
    unlabelled: list[str]
    pieces: Sequences
    train: Rows
    dev: Rows


def prepare(
    config: RunConfig, data: Path | Splits, run: Path, start: Artifact | None = None
) -> Prepared:
    """Read, split and encode the texts of a run, and bind the run directory to them.

    The vocabulary and the ids to pre-train on are kept in the directory and made once.

    Args:
        config: the whole run.
        data: the directory of the configuration's data files, or the texts that were read already.
        run: the run directory.
        start: the artifact that training starts from. Its text pipeline, vocabulary and network
            replace those that the configuration would make.

    Raises:
        ConfigError: the directory holds another run, or a setting names an unknown set.
        DataError: the data cannot be used.
    """
    _check_names(config)
    config = _resolved(config, data, start)
    splits = data if isinstance(data, Splits) else load_splits(config.data, data)
    unlabelled: list[str] = []
    if config.pretrain and not isinstance(data, Splits):
        blocklist = load_blocklist(config.data, data)
        unlabelled = list(load_unlabelled(config.pretrain.unlabelled, data, blocklist))
    synthetic = _synthetic(config)
    stopwords = start.stopwords if start else tuple(sorted(default_stopwords()))
    bind_run_directory(
        run,
        config,
        data_digest(splits.train, splits.dev, unlabelled, stopwords),
        data_digest(*(examples for examples, _ in synthetic)),
        start.digest if start else None,
    )
    if start:
        encoder = start.encoder()
    else:
        texts = [example.text for example in splits.train] + unlabelled
        encoder = _new_encoder(config, stopwords, texts, run)
    sources = {source.name: source for source in config.data.sources}
    labelled = encode(encoder, splits.train, sources)
    train = _finetuning_rows(labelled, synthetic, config, encoder)
    if start and config.replay:
        train += _replayed(start, encoder, config.replay, config.seed)
    return Prepared(
        config=config,
        start=start,
        stopwords=stopwords,
        encoder=encoder,
        splits=splits,
        unlabelled=unlabelled,
        pieces=_pieces(encoder, unlabelled, labelled.ids, config, run),
        train=train,
        dev=encode(encoder, _dev(config, splits, required=not isinstance(data, Splits)), sources),
    )


def _check_names(config: RunConfig) -> None:
    """Raise ConfigError if a setting names a set that there is not."""
    read = {source.name for source in config.data.sources}
    trained_on = read | {TEMPLATE_SOURCE, CURATED_SOURCE}
    settings = config.finetune
    named = [("leave_out", settings.leave_out, read), ("choose_by", settings.choose_by, read)]
    if config.distil:
        named.append(("distil.sources", config.distil.sources, trained_on))
        named += [
            (f"sources of teacher {teacher.name}", teacher.sources, trained_on)
            for teacher in config.distil.teachers
        ]
    for setting, names, known in named:
        if unknown := set(names) - known:
            raise ConfigError(
                f"{setting} names the set {min(unknown)}; known are {', '.join(sorted(known))}"
            )


def _resolved(config: RunConfig, data: Path | Splits, start: Artifact | None) -> RunConfig:
    """Return the configuration with teachers' directories found and the start's network."""
    if config.distil and isinstance(data, Path):
        teachers = tuple(
            teacher.model_copy(update={"directory": str(data / teacher.directory)})
            if (data / teacher.directory).is_dir()
            else teacher  # a name on a hub, or a path of its own
            for teacher in config.distil.teachers
        )
        distil = config.distil.model_copy(update={"teachers": teachers})
        config = config.model_copy(update={"distil": distil})
    if start:
        manifest = start.manifest
        dropouts = config.network.model_dump(include={"input_dropout", "output_dropout"})
        network = manifest.network.model_copy(update=dropouts)
        config = config.model_copy(
            update={"text": manifest.text, "network": network, "pretrain": None}
        )
    return config


def _synthetic(config: RunConfig) -> list[tuple[list[Example], SourceConfig]]:
    """Return the synthetic examples that the configuration gives a weight, set by set."""
    sets = []
    if weight := config.finetune.templates:
        source = SourceConfig(name=TEMPLATE_SOURCE, train=(), weight=weight)
        sets.append((template_sentences(config.seed), source))
    if weight := config.finetune.curated:
        source = SourceConfig(name=CURATED_SOURCE, train=(), weight=weight)
        sets.append((curated_sentences(), source))
    return sets


def _finetuning_rows(
    labelled: Rows,
    synthetic: list[tuple[list[Example], SourceConfig]],
    config: RunConfig,
    encoder: Encoder,
) -> Rows:
    """Return the labelled rows without the sets left out, and the synthetic ones after them."""
    left_out = config.finetune.leave_out
    kept = [i for i, row in enumerate(labelled.examples) if row.source not in left_out]
    rows = labelled.select(kept)
    for examples, source in synthetic:
        rows += encode(encoder, examples, {source.name: source})
    logger.info(_("fine-tuning on %d rows; %d were read"), len(rows), len(labelled))
    return rows


def _replayed(start: Artifact, encoder: Encoder, settings: ReplayConfig, seed: int) -> Rows:
    """Return sentences of this package with the answers of the artifact that the run starts from.

    The same ones for the same seed.
    """
    sentences = shipped_sentences(held_out=False)
    order = np.random.default_rng((seed, 13)).permutation(len(sentences))
    drawn = [
        replace(sentences[index], label=UNLABELLED, source=REPLAY_SOURCE)
        for index in sorted(order[: settings.sentences])
    ]
    source = SourceConfig(name=REPLAY_SOURCE, train=(), weight=settings.weight)
    rows = encode(encoder, drawn, {REPLAY_SOURCE: source})
    engine = TorchEngine(start)
    logits = np.empty((len(rows), len(LABELS)), dtype=np.float32)
    for group in group_by_length([len(ids) for ids in rows.ids]):
        logits[group] = engine.logits([rows.ids[index].tolist() for index in group])
    return rows.with_soft(softmax(logits, 1.0).astype(np.float32))


def _dev(config: RunConfig, splits: Splits, *, required: bool) -> list[Example]:
    """Return the dev rows; ``required`` says that one of them must choose the best epoch."""
    settings = config.finetune
    dev = [example for example in splits.dev if example.source not in settings.leave_out]
    if required and not any(chooses(row, settings.choose_by) for row in dev):
        raise DataError(
            "no dev row is left to choose the best epoch by; mend choose_by, leave_out or "
            "calibrate_on"
        )
    return dev


def _new_encoder(
    config: RunConfig, stopwords: Iterable[str], texts: Sequence[str], run: Path
) -> Encoder:
    """Return an encoder with the vocabulary of the texts, counted once and kept in ``run``."""
    pipeline = TextPipeline(stopwords, config.text.user_words)
    path = run / "vocab.txt"
    if path.exists():
        vocabulary = Vocabulary(artifacts.from_lines(path.read_bytes()))
        return Encoder(pipeline, vocabulary, config.text.window)
    counts: Counter[str] = Counter()
    with Progress(_("counting words"), len(texts)) as progress:
        for text in texts:
            counts.update(
                token.normalized for token in pipeline.tokenize(text) if not token.dropped
            )
            progress.step()
    vocabulary = Vocabulary.build(counts, config.vocabulary.size, config.vocabulary.minimum_count)
    logger.info(_("vocabulary: %d of %d distinct words"), len(vocabulary), len(counts))
    with replacing(path) as unfinished:
        unfinished.write_bytes(artifacts.to_lines(vocabulary.words))
    return Encoder(pipeline, vocabulary, config.text.window)


def _pieces(
    encoder: Encoder,
    unlabelled: Sequence[str],
    labelled: Sequences,
    config: RunConfig,
    run: Path,
) -> Sequences:
    """Return all texts as ids, cut into pieces of at most ``pretrain.longest``, for pre-training.

    The longer the pieces of a batch, the more of it is padding. They are kept in ``run``.
    """
    if config.pretrain is None:
        return []
    path = run / "corpus.npz"
    if path.exists():
        with np.load(path) as cached:
            return np.split(cached["ids"], cached["ends"][:-1])
    pieces: Sequences = []
    for ids in labelled:
        pieces += _cut(ids, config.pretrain.longest)
    with Progress(_("encoding"), len(unlabelled)) as progress:
        for text in unlabelled:
            for window in encoder.encode(text).windows:
                pieces += _cut(np.array(window, dtype=np.int32), config.pretrain.longest)
            progress.step()
    if not pieces:
        raise DataError("no text is left to pre-train on; name further files in [pretrain]")
    ends = np.cumsum([len(piece) for piece in pieces])
    with replacing(path) as unfinished:
        np.savez(unfinished, ids=np.concatenate(pieces), ends=ends)
    return pieces


def _cut(ids: NDArray[np.int32], longest: int) -> Sequences:
    """Cut ids into pieces; a word alone has no neighbour to predict and is left out."""
    pieces = [ids[start : start + longest] for start in range(0, len(ids), longest)]
    return [piece for piece in pieces if len(piece) > 1]
