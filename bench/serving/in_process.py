"""What the model does without a service around it, in this process."""

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from model import artifact as artifacts
from model.classifier import Classifier
from model.engines import start_engine
from model.training.quantisation import quantise
from service.settings import SHIPPED_MODEL


def load(directory: Path) -> Classifier:
    """An artifact on all processors; float weights alone are quantised as for shipping.

    Raises:
        ArtifactError: the artifact cannot be used.
    """
    artifact = artifacts.load(directory)
    if artifact.int8_weights is None:
        artifact = replace(artifact, int8_weights=quantise(artifact.weights))
    return Classifier(artifact, start_engine(artifact, "onnx"))


def one_by_one_ms(texts: list[str]) -> float:
    """The median time from a text to its answer, one text at a time in one thread."""
    classifier = Classifier.load(SHIPPED_MODEL, threads=1, engine="onnx")
    durations = []
    for text in [*texts[:100], *texts]:
        started = time.perf_counter()
        encoding = classifier.encode(text)
        classifier.decide(encoding, classifier.probabilities(encoding.windows))
        durations.append(time.perf_counter() - started)
    return median(durations[100:]) * 1000  # the first were to warm up


def together_rate(classifier: Classifier, texts: list[str]) -> float:
    """Texts a second where all are given at once."""
    list(classifier.predict(texts[:100]))  # to warm up
    started = time.perf_counter()
    list(classifier.predict(texts))
    return len(texts) / (time.perf_counter() - started)
