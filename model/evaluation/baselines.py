"""What our model is measured beside, on the same texts.

Simpler models that are trained on the same rows, a package as it comes, an earlier release of ours,
and the network that ours learned from.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from model.classifier import Classifier
from model.config import LABELS, NEUTRAL, RunConfig
from model.corpora import Example
from model.engines import Logits, available_cpus
from model.progress import Progress
from model.text.pipeline import TextPipeline

logger = logging.getLogger(__name__)

Scores = NDArray[np.float64]


class Baseline(Protocol):
    """Another classifier; of the scores (texts, labels) the highest wins."""

    name: str

    def scores(self, texts: Sequence[str]) -> Scores: ...  # noqa: D102


def _counted(texts: Iterable[str], progress: Progress) -> Iterator[str]:
    """The texts, each a step once it has been read."""
    for text in texts:
        yield text
        progress.step()


class OneVsRestSvm:
    """One linear SVM a label; the highest signed distance wins.

    As for the network, rows of two-class sets say nothing about neutral: the machine that tells
    neutral from the rest is trained without them.
    """

    def __init__(
        self, features: csr_matrix, rows: Sequence[Example], config: RunConfig, cost: float = 1.0
    ) -> None:
        sources = {source.name: source for source in config.data.sources}
        labels = np.array([row.label for row in rows])
        could_be_neutral = np.array([not sources[row.source].two_classes for row in rows])
        self._machines: dict[int, LinearSVC] = {}
        for index in range(len(LABELS)):
            chosen = could_be_neutral if index == NEUTRAL else np.ones(len(labels), dtype=bool)
            if (labels[chosen] == index).any():
                logger.info("linear model: %s from the rest", LABELS[index])
                machine = LinearSVC(C=cost, random_state=config.seed)
                self._machines[index] = machine.fit(features[chosen], labels[chosen] == index)

    def scores(self, features: csr_matrix) -> Scores:
        """(texts, labels) signed distances; a label that no row had has the least."""
        scores = np.full((features.shape[0], len(LABELS)), -np.inf)
        for index, machine in self._machines.items():
            scores[:, index] = machine.decision_function(features)
        return scores


class TfidfSvm:
    """TF-IDF over characters 1-3-grams and ``OneVsRestSvm``, on the same training rows."""

    name = "linear"

    def __init__(self, config: RunConfig, rows: Sequence[Example]) -> None:
        self._vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, dtype=np.float32
        )
        with Progress("linear model: features", len(rows)) as progress:
            texts = _counted((row.text for row in rows), progress)
            features = csr_matrix(self._vectorizer.fit_transform(texts))
        logger.info("linear model: training on %d texts, %d features", *features.shape)
        self._machines = OneVsRestSvm(features, rows, config)

    def scores(self, texts: Sequence[str]) -> Scores:
        """Signed distances."""
        return self._machines.scores(csr_matrix(self._vectorizer.transform(texts)))


class FastText:
    """fastText (Joulin et al., 2017) over jieba's words and their pairs, on the same rows.

    It cannot be told which labels a row could have had, so two-class rows teach it that reviews
    are never neutral.
    """

    name = "fastText"

    def __init__(self, config: RunConfig, rows: Sequence[Example]) -> None:
        import fasttext

        self._pipeline = TextPipeline()
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
            with Progress("fastText: words", len(rows)) as progress:
                texts = _counted((row.text for row in rows), progress)
                for row, words in zip(rows, self._words(texts), strict=True):
                    file.write(f"__label__{row.label} {words}\n")
            file.flush()
            logger.info("fastText: training on %d texts", len(rows))
            self._model = fasttext.train_supervised(
                file.name,
                lr=0.5,
                epoch=5,
                wordNgrams=2,
                minCount=2,
                dim=100,
                seed=config.seed,
                thread=available_cpus(),
                verbose=0,
            )

    def scores(self, texts: Sequence[str]) -> Scores:
        """Probabilities."""
        scores = np.zeros((len(texts), len(LABELS)))
        for row, words in enumerate(self._words(texts)):
            # Its own predict() fails under NumPy 2; the function behind it does not.
            for probability, label in self._model.f.predict(
                f"{words}\n", len(LABELS), 0.0, "strict"
            ):
                scores[row, int(label.removeprefix("__label__"))] = probability
        return scores

    def _words(self, texts: Iterable[str]) -> Iterable[str]:
        for text in texts:
            yield " ".join(token.normalized for token in self._pipeline.tokenize(text))


class SnowNlp:
    """SnowNLP as its users install it, with the model that it ships.

    It gives one figure, 0 for negative to 1 for positive, and knows no neutral; the band from 0.4
    to 0.6, which its users make do with, counts as that.
    """

    name = "SnowNLP"

    def __init__(self, config: RunConfig, rows: Sequence[Example]) -> None:
        del config, rows  # nothing is trained

    def scores(self, texts: Sequence[str]) -> Scores:
        """Scores that put the band between its two labels."""
        from snownlp import SnowNLP

        scores = []
        with Progress(self.name, len(texts)) as progress:
            for text in texts:
                try:
                    positive = SnowNLP(text).sentiments
                except ZeroDivisionError:  # what it says to a text that leaves no word
                    positive = 0.5
                neutral = 1.0 if 0.4 < positive < 0.6 else 0.0
                scores.append([positive, neutral, 1 - positive])
                progress.step()
        return np.array(scores)


BASELINES = (TfidfSvm, FastText, SnowNlp)


class Release:
    """A release of ours, named by its name and version."""

    def __init__(self, classifier: Classifier) -> None:
        manifest = classifier.artifact.manifest
        self.name = f"{manifest.name} {manifest.version}"
        self._classifier = classifier

    def scores(self, texts: Sequence[str]) -> Scores:
        """Probabilities."""
        with Progress(self.name, len(texts)) as progress:
            predictions = self._classifier.predict(texts, progress)
            return np.array([prediction.probabilities for prediction in predictions])


class Teacher(Protocol):
    """A network that ours learned from; it shows its own progress."""

    def logits(self, texts: Sequence[str]) -> Logits: ...  # noqa: D102


class TeacherBaseline:
    """The fine-tuned teacher, which is larger than what it taught."""

    name = "teacher"

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def scores(self, texts: Sequence[str]) -> Scores:
        """Logits."""
        return self._teacher.logits(texts).astype(np.float64)
