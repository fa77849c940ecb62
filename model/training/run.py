"""A training run: from a configuration and labelled texts to an artifact that predicts."""

import logging
from collections.abc import Sequence
from gettext import gettext as _
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model import artifact as artifacts
from model.artifact import Artifact, Manifest
from model.classifier import Classifier
from model.config import LABELS, RunConfig
from model.corpora import Example, Splits
from model.drift import summarize_answers
from model.engines import TorchEngine, available_cpus
from model.errors import ConfigError, SentimentError
from model.training.calibration import MIN_DEV_TEXTS, Calibration, calibrate
from model.training.export import export
from model.training.fitting import Fitted, fit
from model.training.model_card import RunSummary, model_card
from model.training.optimization import Compute, History
from model.training.preparation import Prepared, prepare
from model.training.rows import rows_by_source
from model.training.run_directory import data_digest
from model.training.templates import SHIPPED_SOURCE

logger = logging.getLogger(__name__)

_VERIFIED_TEXTS = 200


def train(
    config: RunConfig, data: Path | Splits, run: Path, output: Path, start: Artifact | None = None
) -> Artifact:
    """Train as a configuration says and write an artifact.

    Args:
        config: the whole run.
        data: the directory of the configuration's data files, or the texts that were read already.
        run: a directory for checkpoints, history and curves; an interrupted run resumes from it.
        output: the directory of the artifact.
        start: an artifact to start from. Its text pipeline, vocabulary, network and weights
            replace those that the configuration would build and pre-train.

    Raises:
        ConfigError: ``run`` holds another configuration's run, or a setting cannot be used here.
        DataError: the data cannot be used.
    """
    compute = _compute(config)
    prepared = prepare(config, data, run, start)
    fitted = fit(prepared, run, compute)
    calibration = calibrate(
        fitted.network,
        prepared.dev,
        config.finetune,
        compute.device,
        start.manifest if start else None,
    )
    artifacts.save(build_artifact(prepared, fitted, calibration), output)
    logger.info(_("the artifact is in %s"), output)
    return verify(output, prepared.dev.examples, calibration.probabilities)


def _compute(config: RunConfig) -> Compute:
    """Choose the device, and let PyTorch use every CPU that this process may use."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError('device is "cuda", but PyTorch finds no GPU; set it to "auto" or "cpu"')
    torch.set_num_threads(available_cpus())
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Compute(torch.device(device), bfloat16=config.precision == "bfloat16")


def build_artifact(prepared: Prepared, fitted: Fitted, calibration: Calibration) -> Artifact:
    """Return the artifact of a run, with its card, the int8 network and a drift baseline.

    The baseline is of the dev texts, or that of the artifact that the run started from if they
    are too few, or there is none.
    """
    config, encoder = prepared.config, prepared.encoder
    manifest = Manifest(
        format_version=artifacts.FORMAT_VERSION,
        name=config.name,
        version=config.version,
        labels=LABELS,
        text=config.text,
        network=config.network,
        temperature=calibration.temperature,
        uncertain_below=calibration.uncertain_below,
        training_data=data_digest(fitted.rows.examples),
        metrics=calibration.scores,
        drift_baseline=prepared.start.manifest.drift_baseline if prepared.start else None,
    )
    weights = fitted.network.state_dict()
    artifact = Artifact(
        manifest=manifest,
        vocabulary=encoder.vocabulary,
        stopwords=prepared.stopwords,
        weights={name: tensor.cpu().numpy() for name, tensor in weights.items()},
        card=model_card(_summary(prepared, fitted, calibration)),
    )
    if calibration.texts >= MIN_DEV_TEXTS:
        classifier = Classifier(artifact, TorchEngine(artifact))
        dev_texts = [row.text for row in prepared.splits.dev if row.source != SHIPPED_SOURCE]
        artifact = artifact.with_drift_baseline(summarize_answers(classifier, dev_texts))
    dev = prepared.dev
    splits = [
        (dev.sources[name], [dev.examples[index] for index in indices])
        for name, indices in rows_by_source(dev.examples).items()
    ]
    return export(artifact, splits, required=False)


def _summary(prepared: Prepared, fitted: Fitted, calibration: Calibration) -> RunSummary:
    history = [*fitted.pretraining, *fitted.finetuning]
    return RunSummary(
        config=prepared.config,
        splits=prepared.splits,
        train=fitted.rows.examples,
        calibration=calibration,
        start=prepared.start,
        stopwords=len(prepared.stopwords),
        core_hours=_total_hours(history, "core_seconds"),
        gpu_hours=_total_hours(history, "gpu_seconds"),
    )


def _total_hours(history: History, unit: str) -> float:
    """Return the hours that the stages took; preparation and steps made twice do not count."""
    return sum(entry.get(unit, 0.0) for entry in history) / 3600


def verify(
    output: Path, examples: Sequence[Example], probabilities: NDArray[np.float64]
) -> Artifact:
    """Load the artifact as a service would; raise unless it gives the answers of the network.

    Args:
        output: the directory of the artifact.
        examples: the N dev rows; the first 200 are compared.
        probabilities: (N, L) what the network in memory gave for them.

    Raises:
        SentimentError: an answer differs, or nothing could be compared.
    """
    classifier = Classifier.load(output, engine="torch")
    compared = 0
    for index, example in enumerate(examples[:_VERIFIED_TEXTS]):
        prediction = next(classifier.predict([example.text]))
        if len(prediction.encoding.windows) > 1:
            continue  # training reads the first window alone
        if not np.allclose(prediction.probabilities, probabilities[index], atol=1e-4):
            raise SentimentError(f"{output} does not give the predictions that it was saved with")
        compared += 1
    if not compared:
        raise SentimentError("no dev text fits one window, so the artifact cannot be checked")
    logger.info(_("the saved artifact gives the same answers for %d dev texts"), compared)
    return classifier.artifact
