"""Export of a trained network to int8: quantise it, and measure how far its answers agree."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from gettext import gettext as _

import numpy as np

from model.artifact import Artifact
from model.classifier import Classifier
from model.config import SourceConfig
from model.corpora import Example
from model.engines import OnnxEngine, TorchEngine
from model.errors import ExportError
from model.scores import predicted_labels
from model.training.quantisation import quantise

logger = logging.getLogger(__name__)

MIN_AGREEMENT = 0.995
MAX_ACCURACY_LOSS = 0.002


def export(
    artifact: Artifact,
    splits: Sequence[tuple[SourceConfig, Sequence[Example]]],
    *,
    required: bool = True,
) -> Artifact:
    """Return the artifact with int8 weights, and in its manifest how far they agree with torch.

    Args:
        artifact: its float16 weights are quantised; int8 weights it already has are replaced.
        splits: texts to measure on.
        required: whether they must agree well enough for a release, or are written with a warning.

    Raises:
        ExportError: fewer labels agree than ``MIN_AGREEMENT``, or more accuracy is lost than
            ``MAX_ACCURACY_LOSS``, though ``required``.
    """
    exported = replace(artifact, int8_weights=quantise(artifact.weights))
    trained = Classifier(artifact, TorchEngine(artifact))
    quantised = Classifier(artifact, OnnxEngine(exported))
    measured = {}
    for source, examples in splits:
        measured[source.name] = _compare(trained, quantised, source, examples)
        logger.info(_("%s: %s"), _(source.name), _described(measured[source.name]))
    measured["all"] = _mean(measured.values())
    agreement, difference = (measured["all"][name] for name in ("agreement", "accuracy_difference"))
    if agreement < MIN_AGREEMENT or difference < -MAX_ACCURACY_LOSS:
        found = _described(measured["all"])
        if required:
            raise ExportError(
                f"{found}; at least {100 * MIN_AGREEMENT:g}% and {-100 * MAX_ACCURACY_LOSS:+g} "
                "points are required"
            )
        if agreement < MIN_AGREEMENT:  # of few texts, one alone changes the accuracy too much
            logger.warning(
                _(
                    "%s: the default image serves the model in int8, so its answers differ from "
                    "the trained ones; train on more rows, or serve it with SENTIMENT_ENGINE=torch"
                ),
                found,
            )
    return replace(exported, manifest=artifact.manifest.model_copy(update={"int8": measured}))


def _compare(
    trained: Classifier, quantised: Classifier, source: SourceConfig, examples: Sequence[Example]
) -> dict[str, float]:
    texts = [example.text for example in examples]
    expected, answered = (
        np.array([prediction.probabilities for prediction in classifier.predict(texts)])
        for classifier in (trained, quantised)
    )  # (texts, L)
    labels = np.array([example.label for example in examples])
    before, after = (
        float((predicted_labels(scores, source.two_classes) == labels).mean())
        for scores in (expected, answered)
    )
    return {
        "texts": len(texts),
        "agreement": float((expected.argmax(axis=1) == answered.argmax(axis=1)).mean()),
        "accuracy_difference": after - before,
        "largest_probability_difference": float(np.abs(expected - answered).max()),
    }


def _described(measured: dict[str, float]) -> str:
    return _(
        "in int8 {same:.2f} percent of the labels of {texts:.0f} texts stay the same and accuracy "
        "changes by {change:+.2f} points"
    ).format(
        same=100 * measured["agreement"],
        texts=measured["texts"],
        change=100 * measured["accuracy_difference"],
    )


def _mean(measured: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the measures over all texts, each split weighted by its number of texts."""
    rows = list(measured)
    texts = [row["texts"] for row in rows]
    return {
        "texts": sum(texts),
        **{
            name: float(np.average([row[name] for row in rows], weights=texts))
            for name in ("agreement", "accuracy_difference")
        },
        "largest_probability_difference": max(
            row["largest_probability_difference"] for row in rows
        ),
    }
