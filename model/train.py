"""A training run: from a configuration and labelled texts to an artifact that predicts."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from model import artifact as artifacts
from model.artifact import Artifact, Manifest
from model.card import model_card
from model.classifier import Classifier, softmax
from model.config import LABELS, NEUTRAL, RunConfig, SourceConfig
from model.curves import draw_curves
from model.data import (
    Example,
    Splits,
    load_blocklist,
    load_splits,
    load_unlabelled,
    near_length_batches,
)
from model.encoding import Encoder
from model.engines import available_cpus
from model.errors import ConfigError, SentimentError
from model.metrics import choose, confidence_threshold, score
from model.network import SentimentNetwork
from model.optimization import (
    CHECKPOINT_STEPS,
    LARGEST_GRADIENT,
    History,
    Sequences,
    load_checkpoint,
    pad_tensors,
    save_checkpoint,
    save_weights,
    schedule,
    set_learning_rate,
)
from model.pretrain import pretrain
from model.progress import Progress
from model.text import TextPipeline, default_stopwords
from model.vocab import PADDING_ID, UNKNOWN_ID, Vocabulary

logger = logging.getLogger(__name__)

_WARMUP_SHARE = 0.05


def train(config: RunConfig, data: Path, run: Path, output: Path) -> Artifact:
    """Trains as ``config`` says and writes an artifact.

    Args:
        config: the whole run.
        data: the directory that the configuration's data files lie in.
        run: a directory for checkpoints, history and curves; a run that was interrupted goes on
            from what it finds there.
        output: the directory of the artifact.

    Raises:
        ConfigError: ``run`` holds another configuration's run.
        DataError: the data cannot be used.
    """
    splits = load_splits(config.data, data)
    unlabelled: list[str] = []
    if config.pretrain:
        blocklist = load_blocklist(config.data, data)
        unlabelled = list(load_unlabelled(config.pretrain.unlabelled, data, blocklist))
    _claim(run, config, _digest(splits.train, splits.dev, unlabelled))
    torch.manual_seed(config.seed)
    torch.set_num_threads(available_cpus())
    device = _device(config)
    autocast = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16"
    )
    pipeline = TextPipeline(default_stopwords(), config.text.user_words)
    vocabulary = _vocabulary(
        config, pipeline, [example.text for example in splits.train] + unlabelled, run
    )
    encoder = Encoder(pipeline, vocabulary, config.text.window)
    encoded_train = _encode(encoder, splits.train)
    encoded_dev = _encode(encoder, splits.dev)

    weights: dict[str, Tensor] = {}
    pretrain_history: History = []
    if config.pretrain:
        corpus = _language_model_corpus(encoder, unlabelled, encoded_train, config, run)
        weights, pretrain_history = pretrain(
            corpus,
            len(vocabulary),
            config.network,
            config.pretrain,
            seed=config.seed,
            device=device,
            autocast=autocast,
            directory=run,
        )
    del unlabelled

    torch.manual_seed(config.seed)
    network = SentimentNetwork(len(vocabulary), len(LABELS), config.network)
    if weights:
        network.reader.load_state_dict(weights)
    network.to(device)
    sources = {source.name: source for source in config.data.sources}
    history = _finetune(
        network, splits, encoded_train, encoded_dev, sources, config, device, autocast, run
    )
    draw_curves(pretrain_history, history, run / "curves.png")

    network.load_state_dict(load_file(run / "best.safetensors"))
    network.float().eval()
    with torch.no_grad():  # what is stored in half precision is what is calibrated and measured
        embedding = network.reader.embedding.weight
        embedding.copy_(embedding.half().float())
    logits = _logits(network, encoded_dev, device)
    temperature = fit_temperature(logits, splits.dev, sources)
    probabilities = softmax(logits, temperature)
    metrics = _dev_metrics(probabilities, splits.dev, sources)
    manifest = Manifest(
        format_version=artifacts.FORMAT_VERSION,
        name=config.name,
        version=config.version,
        labels=LABELS,
        text=config.text,
        network=config.network,
        temperature=temperature,
        uncertain_below=_uncertain_below(
            probabilities, splits.dev, sources, config.finetune.confident_accuracy
        ),
        training_data=_digest(splits.train),
        metrics=metrics,
    )
    artifact = Artifact(
        manifest=manifest,
        vocabulary=vocabulary,
        stopwords=tuple(sorted(pipeline.stopwords)),
        weights={name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()},
        card=model_card(config, splits, metrics),
    )
    artifacts.save(artifact, output)
    saved = _load_reproducing(output, splits.dev, probabilities)
    logger.info("the artifact is in %s", output)
    return saved


def _claim(run: Path, config: RunConfig, data: str) -> None:
    """Takes a run directory for a configuration and its data, so that no other goes on in it.

    With other fine-tuning settings alone, fine-tuning begins anew behind the same pre-training.
    """
    run.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump(mode="json")
    finetune = json.dumps(settings.pop("finetune"), indent=2) + "\n"
    content = json.dumps({"config": settings, "data": data}, indent=2) + "\n"
    path = run / "run.json"
    if path.exists() and path.read_text(encoding="utf-8") != content:
        raise ConfigError(
            f"{run} holds a run of another configuration or of other data; delete it or name "
            "another by --run"
        )
    path.write_text(content, encoding="utf-8")
    path = run / "finetune.json"
    if path.exists() and path.read_text(encoding="utf-8") != finetune:
        logger.info("fine-tuning begins anew, with other settings")
        (run / "finetune.checkpoint").unlink(missing_ok=True)
    path.write_text(finetune, encoding="utf-8")


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
    unfinished = run / "corpus.part.npz"
    np.savez(
        unfinished,
        ids=np.concatenate(sequences),
        ends=np.cumsum([len(sequence) for sequence in sequences]),
    )
    unfinished.replace(path)
    return sequences


def _finetune(
    network: SentimentNetwork,
    splits: Splits,
    encoded_train: Sequences,
    encoded_dev: Sequences,
    sources: dict[str, SourceConfig],
    config: RunConfig,
    device: torch.device,
    autocast: torch.autocast,
    run: Path,
) -> History:
    """Trains the classifier and leaves the weights of the epoch best on dev in ``run``."""
    settings = config.finetune
    checkpoint = run / "finetune.checkpoint"
    embedding = network.reader.embedding.weight
    dense = [parameter for parameter in network.parameters() if parameter is not embedding]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(dense, lr=settings.learning_rate, weight_decay=settings.weight_decay),
        torch.optim.SparseAdam([embedding], lr=settings.embedding_learning_rate),
    ]
    rates = [settings.learning_rate, settings.embedding_learning_rate]

    labels = torch.tensor([example.label for example in splits.train])
    allowed = _allowed_labels(splits.train, sources)
    weights = torch.tensor([sources[example.source].weight for example in splits.train])

    lengths = [len(ids) for ids in encoded_train]
    epochs = [
        near_length_batches(
            lengths, np.random.default_rng((config.seed, epoch)), size=settings.batch_size
        )
        for epoch in range(settings.epochs)
    ]
    steps = sum(map(len, epochs))
    done, history, best, total = 0, History(), -1.0, 0.0
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, network, optimizers)
        done, history = progress["done"], progress["history"]
        best, total = progress["best"], progress["total"]
        logger.info("fine-tuning goes on behind step %d of %d", done, steps)

    step = 0
    with Progress("fine-tuning", steps, done) as progress_bar:
        for epoch, batches in enumerate(epochs):
            network.train()
            for batch in batches:
                step += 1
                if step <= done:
                    continue
                share = schedule(step - 1, steps, _WARMUP_SHARE)
                for optimizer, rate in zip(optimizers, rates, strict=True):
                    set_learning_rate(optimizer, rate * share)
                    optimizer.zero_grad()
                ids, sizes = pad_tensors([encoded_train[index] for index in batch], device)
                unknown = torch.rand(ids.shape, device=device) < settings.word_dropout
                ids = ids.masked_fill(unknown & (ids != PADDING_ID), UNKNOWN_ID)
                with autocast:
                    logits = network(ids, sizes)
                losses = smoothed_loss(
                    logits.float(),
                    labels[batch].to(device),
                    allowed[batch].to(device),
                    settings.label_smoothing,
                )
                loss = (losses * weights[batch].to(device)).mean()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(dense, LARGEST_GRADIENT)
                for optimizer in optimizers:
                    optimizer.step()
                total += loss.item()
                if step % CHECKPOINT_STEPS == 0 and step != steps:
                    state = {"done": step, "history": history, "best": best, "total": total}
                    save_checkpoint(checkpoint, network, optimizers, state)
                dev_score = history[-1]["dev"] if history else float("nan")
                progress_bar.step(loss=loss.item(), dev=dev_score)
            if step <= done and len(history) > epoch:
                continue
            network.eval()
            logits_dev = _logits(network, encoded_dev, device)
            scored = _dev_metrics(logits_dev.astype(np.float64), splits.dev, sources)
            dev_score = scored["mean"]["score"]
            history.append(
                {"epoch": epoch + 1, "step": step, "loss": total / len(batches), "dev": dev_score}
            )
            logger.info("epoch %d: loss %.4f, dev %s", epoch + 1, total / len(batches), scored)
            total = 0.0
            if dev_score > best:
                best = dev_score
                save_weights(run / "best.safetensors", network.state_dict())
            state = {"done": step, "history": history, "best": best, "total": total}
            save_checkpoint(checkpoint, network, optimizers, state)
            (run / "history.json").write_text(json.dumps(history, indent=2) + "\n")
    return history


def _allowed_labels(examples: Sequence[Example], sources: dict[str, SourceConfig]) -> Tensor:
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


def _logits(
    network: SentimentNetwork, sequences: Sequences, device: torch.device
) -> NDArray[np.float32]:
    """(texts, labels) logits, in the order of the sequences."""
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    logits = np.empty((len(sequences), len(LABELS)), dtype=np.float32)
    with torch.inference_mode():
        for chosen in _chunks(order, 128):
            ids, lengths = pad_tensors([sequences[index] for index in chosen], device)
            logits[chosen] = network(ids, lengths).float().cpu().numpy()
    return logits


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _by_source(examples: Sequence[Example]) -> dict[str, list[int]]:
    indices: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        indices.setdefault(example.source, []).append(index)
    return indices


def _dev_metrics(
    scores: NDArray[np.float64], examples: Sequence[Example], sources: dict[str, SourceConfig]
) -> dict[str, dict[str, float]]:
    """Accuracy and macro-F1 of each source's dev split, and under ``mean`` the score to choose by.

    That is the mean over the sources of accuracy for two classes and of macro-F1 for three.
    """
    metrics: dict[str, dict[str, float]] = {}
    chosen_by = []
    for name, indices in _by_source(examples).items():
        two_classes = sources[name].two_classes
        chosen = choose(scores[indices], two_classes)
        metrics[name] = score([examples[index].label for index in indices], chosen)
        chosen_by.append(metrics[name]["accuracy" if two_classes else "macro_f1"])
    metrics["mean"] = {"score": float(np.mean(chosen_by))}
    return metrics


def fit_temperature(
    logits: NDArray[np.float32], examples: Sequence[Example], sources: dict[str, SourceConfig]
) -> float:
    """The temperature that makes dev most likely (Guo et al., 2017), from 0.1 to 10."""
    labels = torch.tensor([example.label for example in examples])
    allowed = _allowed_labels(examples, sources)
    candidates = np.geomspace(0.1, 10, 401)
    losses = [
        smoothed_loss(torch.from_numpy(logits) / temperature, labels, allowed, 0.0).mean().item()
        for temperature in candidates
    ]
    return round(float(candidates[int(np.argmin(losses))]), 4)


def _uncertain_below(
    probabilities: NDArray[np.float64],
    examples: Sequence[Example],
    sources: dict[str, SourceConfig],
    accuracy: float,
) -> float:
    """The confidence below which answers are uncertain, from dev rows that could be neutral.

    Where every set has two classes, from all rows.
    """
    rows = [i for i, example in enumerate(examples) if not sources[example.source].two_classes]
    rows = rows or list(range(len(examples)))
    labels = np.array([examples[index].label for index in rows])
    right = probabilities[rows].argmax(axis=1) == labels
    return round(confidence_threshold(probabilities[rows].max(axis=1), right, accuracy), 4)


def _load_reproducing(
    output: Path, examples: Sequence[Example], probabilities: NDArray[np.float64]
) -> Artifact:
    """Loads the artifact as a service would and compares its answers for some of dev."""
    classifier = Classifier.load(output)
    compared = 0
    for index, example in enumerate(examples[:200]):
        prediction = classifier.predict([example.text])[0]
        if len(prediction.encoding.windows) > 1:
            continue  # training reads the first window alone
        if not np.allclose(prediction.probabilities, probabilities[index], atol=1e-4):
            raise SentimentError(f"{output} does not give the predictions that it was saved with")
        compared += 1
    if not compared:
        raise SentimentError("no dev text fits one window, so the artifact cannot be checked")
    logger.info("the saved artifact gives the same answers for %d dev texts", compared)
    return classifier.artifact
