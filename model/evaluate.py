"""Scores of an artifact on the test splits, beside a linear model trained on the same mix."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from model.classifier import Classifier
from model.config import LABELS, NEUTRAL, RunConfig
from model.data import Example, load_splits, load_test
from model.errors import DataError
from model.metrics import choose, score
from model.progress import Progress

logger = logging.getLogger(__name__)


def evaluate(config: RunConfig, data: Path, model: Path, *, baseline: bool) -> str:
    """A Markdown table: a row for each test split of the configuration's sources.

    All rows of a split count, as published. ``answered neutral`` is the share of a two-class
    split that the full answer calls neutral; its accuracy is of the likelier other label.

    Args:
        config: names the sources.
        data: the directory of their files.
        model: the directory of the artifact.
        baseline: whether to train the linear model, which takes minutes, and score it beside.

    Raises:
        DataError: no source has a test split, or a file cannot be used.
        ArtifactError: the artifact cannot be used.
    """
    tests = {
        source: examples for source in config.data.sources if (examples := load_test(source, data))
    }
    if not tests:
        raise DataError("the configuration names no test split")
    classifier = Classifier.load(model)
    linear = LinearBaseline(config, data) if baseline else None
    header = ["test split", "texts", "accuracy", "macro-F1", "answered neutral"]
    rows = [[*header, "linear: accuracy", "linear: macro-F1"] if linear else header]
    for source, examples in tests.items():
        labels = [example.label for example in examples]
        scores = _probabilities(classifier, examples, source.name)
        scored = score(labels, choose(scores, source.two_classes))
        neutral = float((scores.argmax(axis=1) == NEUTRAL).mean())
        row = [source.name, f"{len(examples):,}", *_percent(scored), f"{100 * neutral:.1f}"]
        if linear:
            chosen = choose(linear.decide(examples), source.two_classes)
            row += _percent(score(labels, chosen))
        rows.append(row)
    return _markdown(rows)


class LinearBaseline:
    """TF-IDF over characters 1-3-grams and one linear SVM a label, on the same training rows.

    As for the network, rows of two-class sets say nothing about neutral: the machine that tells
    neutral from the rest is trained without them.
    """

    def __init__(self, config: RunConfig, data: Path) -> None:
        splits = load_splits(config.data, data)
        sources = {source.name: source for source in config.data.sources}
        self._vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, dtype=np.float32
        )
        logger.info("linear model: features of %d texts", len(splits.train))
        features = csr_matrix(
            self._vectorizer.fit_transform(example.text for example in splits.train)
        )
        labels = np.array([example.label for example in splits.train])
        could_be_neutral = np.array(
            [not sources[example.source].two_classes for example in splits.train]
        )
        self._machines = []
        for index, label in enumerate(LABELS):
            logger.info("linear model: %s", label)
            rows = could_be_neutral if index == NEUTRAL else np.ones(len(labels), dtype=bool)
            machine = LinearSVC(random_state=config.seed)
            machine.fit(features[rows], labels[rows] == index)
            self._machines.append(machine)

    def decide(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """Signed distances of shape (texts, labels); the highest wins."""
        features = self._vectorizer.transform(example.text for example in examples)
        return np.stack([machine.decision_function(features) for machine in self._machines], axis=1)


def _probabilities(
    classifier: Classifier, examples: Sequence[Example], name: str
) -> NDArray[np.float64]:
    probabilities = []
    with Progress(name, len(examples)) as progress:
        for start in range(0, len(examples), 512):
            texts = [example.text for example in examples[start : start + 512]]
            probabilities += [p.probabilities for p in classifier.predict(texts)]
            progress.step(len(texts))
    return np.array(probabilities)


def _percent(scored: dict[str, float]) -> list[str]:
    return [f"{100 * scored['accuracy']:.1f}", f"{100 * scored['macro_f1']:.1f}"]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)
