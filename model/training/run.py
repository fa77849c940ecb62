"""A training run: from a configuration and labelled texts to an artifact that predicts."""

import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from model import artifact as artifacts
from model.artifact import Artifact, Manifest
from model.classifier import Classifier, softmax
from model.config import LABELS, RunConfig, SourceConfig
from model.corpora import UNLABELLED, Example, load_blocklist, load_splits, load_unlabelled
from model.drift import summarize_answers
from model.engines import TorchEngine, available_cpus
from model.errors import ConfigError, DataError, ExportError, SentimentError
from model.network import SentimentNetwork
from model.progress import Progress
from model.text.encoding import Encoder
from model.text.pipeline import TextPipeline
from model.text.stopwords import default_stopwords
from model.text.vocabulary import Vocabulary
from model.training.calibration import fit_temperature, uncertain_below
from model.training.curves import draw_curves
from model.training.distil import cached_logits, soft_labels, teach
from model.training.export import export
from model.training.finetune import dev_scores, finetune, logits_of, rows_by_source
from model.training.model_card import TeacherNote, model_card
from model.training.optimization import History, Sequences
from model.training.pretrain import pretrain
from model.training.templates import CURATED_SOURCE, curated_sentences, template_sentences
from model.training.templates import SOURCE as TEMPLATES

logger = logging.getLogger(__name__)

Soft = NDArray[np.float32]

_DRAWN = "unlabelled"


def train(
    config: RunConfig, data: Path, run: Path, output: Path, start: Artifact | None = None
) -> Artifact:
    """Trains as ``config`` says and writes an artifact.

    Args:
        config: the whole run.
        data: the directory that the configuration's data files lie in.
        run: a directory for checkpoints, history and curves; a run that was interrupted goes on
            from what it finds there.
        output: the directory of the artifact.
        start: an artifact to go on from. Its text pipeline, vocabulary, network and weights stand
            in for those that the configuration would build and pre-train.

    Raises:
        ConfigError: ``run`` holds another configuration's run, or ``leave_out`` or ``choose_by``
            names no set.
        DataError: the data cannot be used.
    """
    known = {source.name for source in config.data.sources}
    for setting in ("leave_out", "choose_by"):
        if unknown := set(getattr(config.finetune, setting)) - known:
            raise ConfigError(
                f"{setting} names {min(unknown)}, which is no set of the configuration"
            )
    splits = load_splits(config.data, data)
    config = _with_teachers_found(config, data)
    if start:
        manifest = start.manifest
        dropouts = config.network.model_dump(include={"input_dropout", "output_dropout"})
        network_config = manifest.network.model_copy(update=dropouts)
        config = config.model_copy(
            update={"text": manifest.text, "network": network_config, "pretrain": None}
        )
    unlabelled: list[str] = []
    if config.pretrain:
        blocklist = load_blocklist(config.data, data)
        unlabelled = list(load_unlabelled(config.pretrain.unlabelled, data, blocklist))
    own = _own_sentences(config)
    stopwords = start.stopwords if start else sorted(default_stopwords())
    digest = _digest(splits.train, splits.dev, unlabelled, stopwords)
    _claim(run, config, digest, _digest(own), start)
    torch.manual_seed(config.seed)
    torch.set_num_threads(available_cpus())
    device = _device(config)
    autocast = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16"
    )
    if start:
        encoder = start.encoder()
    else:
        pipeline = TextPipeline(stopwords, config.text.user_words)
        texts = [example.text for example in splits.train] + unlabelled
        encoder = Encoder(pipeline, _vocabulary(config, pipeline, texts, run), config.text.window)
        del texts
    vocabulary = encoder.vocabulary
    encoded_train = _encode(encoder, splits.train)
    dev = [example for example in splits.dev if example.source not in config.finetune.leave_out]
    encoded_dev = _encode(encoder, dev)

    weights: dict[str, Tensor] = {}
    pretrain_history: History = []
    if config.pretrain:
        corpus = _language_model_corpus(encoder, unlabelled, encoded_train, config, run)
        weights, pretrain_history = pretrain(
            corpus,
            vocabulary.words,
            config.network,
            config.pretrain,
            seed=config.seed,
            device=device,
            autocast=autocast,
            directory=run,
        )
    sources = {source.name: source for source in config.data.sources}
    train, encoded_train = _finetuning_rows(
        config, splits.train, encoded_train, own, encoder, sources
    )

    def fit(
        seed: int, directory: Path, soft: Soft | None = None
    ) -> tuple[SentimentNetwork, History]:
        """Fine-tunes a network with a seed; what comes of it has the weights best on dev."""
        torch.manual_seed(seed)
        network = SentimentNetwork(len(vocabulary), len(LABELS), config.network)
        if start:
            network.load_state_dict(
                {name: torch.from_numpy(value).float() for name, value in start.weights.items()}
            )
        elif weights:
            network.reader.load_state_dict(weights)
        network.to(device)
        changed: dict[str, int] = {"seed": seed}
        if config.distil and soft is not None:
            changed["epochs"] = config.distil.epochs
        seeded = config.model_copy(update={"finetune": config.finetune.model_copy(update=changed)})
        history = finetune(
            network,
            train,
            dev,
            encoded_train,
            encoded_dev,
            sources,
            seeded,
            device,
            autocast,
            directory,
            soft,
        )
        network.load_state_dict(load_file(directory / "best.safetensors"))
        return network.float().eval(), history

    soft = None
    if config.distil:
        drawn = _drawn(unlabelled, config.distil.unlabelled, config.seed)
        encoded_drawn = _encode(encoder, drawn)
        soft = _soft_labels(
            config,
            train,
            drawn,
            encoded_train,
            encoded_drawn,
            unlabelled,
            sources,
            fit,
            device,
            run,
        )
        sources[_DRAWN] = SourceConfig(
            name=_DRAWN, train=(), weight=config.distil.unlabelled_weight
        )
        train, encoded_train = train + drawn, encoded_train + encoded_drawn
    del unlabelled
    network, history = fit(config.finetuning_seed, run, soft)
    draw_curves(pretrain_history, history, run / "curves.png")

    with torch.no_grad():  # what is stored in half precision is what is calibrated and measured
        for parameter in network.parameters():
            parameter.copy_(parameter.half().float())
    logits = logits_of(network, encoded_dev, device)
    chosen = [i for i, row in enumerate(dev) if _chooses(row, config.finetune.choose_by)]
    chosen_dev = [dev[index] for index in chosen]
    temperature = fit_temperature(logits[chosen], chosen_dev, sources)
    probabilities = softmax(logits, temperature)
    metrics = dev_scores(probabilities, dev, sources, config.finetune.choose_by)
    threshold, certain = uncertain_below(
        probabilities[chosen], chosen_dev, sources, config.finetune.confident_accuracy
    )
    manifest = Manifest(
        format_version=artifacts.FORMAT_VERSION,
        name=config.name,
        version=config.version,
        labels=LABELS,
        text=config.text,
        network=config.network,
        temperature=temperature,
        uncertain_below=threshold,
        training_data=_digest(train),
        metrics=metrics,
    )
    artifact = Artifact(
        manifest=manifest,
        vocabulary=vocabulary,
        stopwords=tuple(stopwords),
        weights={name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()},
        card=model_card(
            config,
            splits,
            train,
            metrics,
            start=start,
            stopwords=len(stopwords),
            certain=certain,
            teachers=_teacher_notes(config),
            bound_by=config.finetune.choose_by,
            core_hours=_total_hours([*pretrain_history, *history], "core_seconds"),
            gpu_hours=_total_hours([*pretrain_history, *history], "gpu_seconds"),
        ),
    )
    artifact = artifact.with_drift_baseline(
        summarize_answers(
            Classifier(artifact, TorchEngine(artifact)), [example.text for example in dev]
        )
    )
    try:
        artifact = export(
            artifact,
            [(sources[name], [dev[i] for i in rows]) for name, rows in rows_by_source(dev).items()],
        )
    except ExportError as error:
        logger.warning("the artifact is for the torch engine alone: %s", error)
    artifacts.save(artifact, output)
    saved = _load_reproducing(output, dev, probabilities)
    logger.info("the artifact is in %s", output)
    return saved


def _with_teachers_found(config: RunConfig, data: Path) -> RunConfig:
    """The configuration with the directories of teachers that lie beside the data."""
    if config.distil is None:
        return config
    teachers = [
        teacher.model_copy(update={"directory": str(data / teacher.directory)})
        if (data / teacher.directory).is_dir()
        else teacher
        for teacher in config.distil.teachers
    ]
    return config.model_copy(
        update={"distil": config.distil.model_copy(update={"teachers": tuple(teachers)})}
    )


def _own_sentences(config: RunConfig) -> list[Example]:
    """Our own sentences, those that the configuration gives a weight."""
    own = template_sentences(config.seed) if config.finetune.templates else []
    return own + (curated_sentences() if config.finetune.curated else [])


def _chooses(row: Example, choose_by: Sequence[str]) -> bool:
    return not choose_by or row.source in choose_by


def _drawn(unlabelled: Sequence[str], count: int, seed: int) -> list[Example]:
    """Texts without labels to learn from teachers, the same ones for the same seed."""
    generator = np.random.default_rng((seed, 11))
    chosen = generator.permutation(len(unlabelled))[:count]
    return [Example(unlabelled[index], UNLABELLED, _DRAWN) for index in sorted(chosen)]


def _teacher_notes(config: RunConfig) -> list[TeacherNote]:
    """What the card says of the networks whose answers were averaged."""
    if config.distil is None:
        return []
    settings = config.distil
    share = 1 / (settings.networks + len(settings.teachers))
    own = [
        TeacherNote(
            f"network {number} of this recipe, another seed", "this project", "as ours", share
        )
        for number in range(1, settings.networks + 1)
    ]
    return own + [
        TeacherNote(teacher.name, teacher.origin, teacher.licence, share)
        for teacher in settings.teachers
    ]


def _soft_labels(
    config: RunConfig,
    train: Sequence[Example],
    drawn: Sequence[Example],
    encoded_train: Sequences,
    encoded_drawn: Sequences,
    unlabelled: Sequence[str],
    sources: dict[str, SourceConfig],
    fit: Callable[[int, Path], tuple[SentimentNetwork, History]],
    device: torch.device,
    run: Path,
) -> Soft:
    """(rows and drawn texts, L) soft labels, NaN for rows of sets that are not distilled."""
    settings = config.distil
    assert settings is not None
    rows = [
        index
        for index, row in enumerate(train)
        if not settings.sources or row.source in settings.sources
    ]
    texts = [train[index].text for index in rows] + [row.text for row in drawn]
    encoded = [encoded_train[index] for index in rows] + encoded_drawn
    answers = []
    for number in range(1, settings.networks + 1):
        seed = config.seed + 100 * number
        directory = run / "networks" / str(seed)
        directory.mkdir(parents=True, exist_ok=True)
        network, _ = fit(seed, directory)
        answers.append(logits_of(network, encoded, device))
    for teacher in settings.teachers:
        taught = teach(
            teacher, train, unlabelled, sources, seed=config.seed, device=device, run=run
        ).to(device)
        path = run / "teachers" / teacher.name / "logits.npz"
        answers.append(cached_logits(path, texts, taught.logits))
    soft = np.full((len(train) + len(drawn), len(LABELS)), np.nan, dtype=np.float32)
    places = [*rows, *range(len(train), len(train) + len(drawn))]
    soft[places] = soft_labels(answers, settings.temperature)
    return soft


def _total_hours(history: History, taken: str) -> float:
    """What the stages took; preparation and work that an interruption threw away do not count."""
    return sum(entry.get(taken, 0.0) for entry in history) / 3600


def _claim(run: Path, config: RunConfig, data: str, own: str, start: Artifact | None) -> None:
    """Takes a run directory for a configuration and its data, so that no other goes on in it.

    Where only settings after the pre-training differ, fine-tuning alone begins anew; teachers look
    after themselves.
    """
    run.mkdir(parents=True, exist_ok=True)
    settings = _training_settings(config)
    before = ("seed", "precision", "text", "vocabulary", "pretrain")
    first: dict[str, Any] = {name: settings.pop(name) for name in before}
    first["network"] = {
        name: settings["network"][name] for name in ("embedding_size", "hidden_size")
    }
    first["data"] = data
    settings |= {"own sentences": own, "from": start.digest if start else None}
    content = json.dumps(first, indent=2) + "\n"
    path = run / "run.json"
    if path.exists() and path.read_text(encoding="utf-8") != content:
        raise ConfigError(
            f"{run} holds a run of another configuration or of other data; delete it or name "
            "another by --run"
        )
    path.write_text(content, encoding="utf-8")
    content = json.dumps(settings, indent=2) + "\n"
    path = run / "finetune.json"
    if path.exists() and path.read_text(encoding="utf-8") != content:
        logger.info("fine-tuning begins anew, with other settings")
        (run / "finetune.checkpoint").unlink(missing_ok=True)
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if _of_networks(earlier) != _of_networks(settings):
            shutil.rmtree(run / "networks", ignore_errors=True)
    path.write_text(content, encoding="utf-8")


_DESCRIPTIONS = ("origin", "licence", "published", "notes", "kinds", "test")


def _training_settings(config: RunConfig) -> dict[str, Any]:
    """The settings that a run's weights depend on: what describes and tests is left out."""
    settings = config.model_dump(mode="json")
    for part in (settings["data"], *settings["data"]["sources"]):
        for name in _DESCRIPTIONS:
            part.pop(name, None)
    del settings["finetune"]["confident_accuracy"]
    return settings


def _of_networks(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that the networks among the teachers depend on; their seeds are their own."""
    return settings | {"distil": None, "finetune": settings["finetune"] | {"seed": None}}


def _digest(*parts: Iterable[Example | str]) -> str:
    """SHA-256 over examples and texts."""
    digest = hashlib.sha256()
    for part in parts:
        for item in part:
            line = item if isinstance(item, str) else f"{item.source}\t{item.label}\t{item.text}"
            digest.update(line.encode("utf-8", "replace") + b"\n")
        digest.update(b"\0")
    return digest.hexdigest()


def _device(config: RunConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError('device is "cuda", but PyTorch finds no GPU; set it to "auto" or "cpu"')
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def _vocabulary(
    config: RunConfig, pipeline: TextPipeline, texts: Sequence[str], run: Path
) -> Vocabulary:
    """The run's vocabulary, counted once over all texts that it trains on."""
    path = run / "vocab.txt"
    if path.exists():
        return Vocabulary(artifacts.from_lines(path.read_bytes()))
    counts: Counter[str] = Counter()
    with Progress("counting words", len(texts)) as progress:
        for text in texts:
            counts.update(
                token.normalized for token in pipeline.tokenize(text) if not token.dropped
            )
            progress.step()
    vocabulary = Vocabulary.build(counts, config.vocabulary.size, config.vocabulary.minimum_count)
    logger.info("%d words of %d distinct ones", len(vocabulary), len(counts))
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(artifacts.to_lines(vocabulary.words))
    unfinished.replace(path)
    return vocabulary


def _encode(encoder: Encoder, examples: Sequence[Example]) -> Sequences:
    """The first window of each example; few training texts have a second one."""
    encodings = [encoder.encode(example.text) for example in examples]
    longer = sum(len(encoding.windows) > 1 for encoding in encodings)
    logger.info("%d of %d texts are longer than a window", longer, len(encodings))
    return [np.array(encoding.windows[0], dtype=np.int32) for encoding in encodings]


def _language_model_corpus(
    encoder: Encoder,
    unlabelled: Sequence[str],
    encoded_train: Sequences,
    config: RunConfig,
    run: Path,
) -> Sequences:
    """Pieces of at most ``pretrain.longest`` ids of all texts; cached in the run directory."""
    assert config.pretrain is not None
    path = run / "corpus.npz"
    if path.exists():
        with np.load(path) as cached:
            return np.split(cached["ids"], cached["ends"][:-1])
    sequences: Sequences = []
    longest = config.pretrain.longest

    def add(ids: NDArray[np.int32]) -> None:
        for start in range(0, len(ids), longest):
            if len(ids) - start > 1:  # a word alone has no neighbour to predict
                sequences.append(ids[start : start + longest])

    for ids in encoded_train:
        add(ids)
    with Progress("encoding", len(unlabelled)) as progress:
        for text in unlabelled:
            for window in encoder.encode(text).windows:
                add(np.array(window, dtype=np.int32))
            progress.step()
    if not sequences:
        raise DataError("no text is left to pre-train on")
    unfinished = run / "corpus.part.npz"
    np.savez(
        unfinished,
        ids=np.concatenate(sequences),
        ends=np.cumsum([len(sequence) for sequence in sequences]),
    )
    unfinished.replace(path)
    return sequences


def _finetuning_rows(
    config: RunConfig,
    train: list[Example],
    encoded: Sequences,
    own: list[Example],
    encoder: Encoder,
    sources: dict[str, SourceConfig],
) -> tuple[list[Example], Sequences]:
    """The rows that fine-tuning sees: without the sets left out, with our own sentences."""
    kept = [i for i, row in enumerate(train) if row.source not in config.finetune.leave_out]
    rows, ids = [train[i] for i in kept], [encoded[i] for i in kept]
    if own:
        for name, weight in (
            (TEMPLATES, config.finetune.templates),
            (CURATED_SOURCE, config.finetune.curated),
        ):
            if weight:
                sources[name] = SourceConfig(name=name, train=(), weight=weight)
        logger.info("%d sentences of our own beside %d rows", len(own), len(rows))
        rows, ids = rows + own, ids + _encode(encoder, own)
    return rows, ids


def _load_reproducing(
    output: Path, examples: Sequence[Example], probabilities: NDArray[np.float64]
) -> Artifact:
    """Loads the artifact as a service would and compares its answers for some of dev."""
    classifier = Classifier.load(output, engine="torch")
    compared = 0
    for index, example in enumerate(examples[:200]):
        prediction = next(classifier.predict([example.text]))
        if len(prediction.encoding.windows) > 1:
            continue  # training reads the first window alone
        if not np.allclose(prediction.probabilities, probabilities[index], atol=1e-4):
            raise SentimentError(f"{output} does not give the predictions that it was saved with")
        compared += 1
    if not compared:
        raise SentimentError("no dev text fits one window, so the artifact cannot be checked")
    logger.info("the saved artifact gives the same answers for %d dev texts", compared)
    return classifier.artifact
