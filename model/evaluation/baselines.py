"""The models that ours is compared with, on the same texts.

Simpler models trained on the same rows, a package as it comes, an earlier release of ours, and the
teacher that ours learned from.

Letters in the shapes: N texts, L labels, F features.
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
    """Another classifier; the highest of the scores (N, L) of a text is its answer."""

    name: str

    def scores(self, texts: Sequence[str]) -> Scores: ...  # noqa: D102


def _counted(texts: Iterable[str], progress: Progress) -> Iterator[str]:
    """Yield texts, counting a step after each."""
    for text in texts:
        yield text
        progress.step()


class OneVsRestSvm:
    """One linear SVM per label; the highest signed distance wins.

    As for the network, rows of two-class sets say nothing about neutral: the SVM that separates
    neutral from the rest is trained without them.
    """

    def __init__(
        self, features: csr_matrix, rows: Sequence[Example], config: RunConfig, cost: float = 1.0
    ) -> None:
        sources = {source.name: source for source in config.data.sources}
        labels = np.array([row.label for row in rows])
        could_be_neutral = np.array([not sources[row.source].two_classes for row in rows])
        self._svms: dict[int, LinearSVC] = {}
        for index in range(len(LABELS)):
            chosen = could_be_neutral if index == NEUTRAL else np.ones(len(labels), dtype=bool)
            if (labels[chosen] == index).any():
                logger.info("linear model: %s from the rest", LABELS[index])
                svm = LinearSVC(C=cost, random_state=config.seed)
                self._svms[index] = svm.fit(features[chosen], labels[chosen] == index)

    def scores(self, features: csr_matrix) -> Scores:
        """Return signed distances (N, L) of features (N, F); -inf for a label that no row had."""
        scores = np.full((features.shape[0], len(LABELS)), -np.inf)
        for index, svm in self._svms.items():
            scores[:, index] = svm.decision_function(features)
        return scores


class TfidfSvm:
    """Linear SVMs over TF-IDF of character 1- to 3-grams, on the same training rows."""

    name = "linear"

    def __init__(self, config: RunConfig, rows: Sequence[Example]) -> None:
        self._vectorizer = TfidfVectorizer(
            analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True, dtype=np.float32
        )
        with Progress("linear model: features", len(rows)) as progress:
            texts = _counted((row.text for row in rows), progress)
            features = csr_matrix(self._vectorizer.fit_transform(texts))
        logger.info("linear model: training on %d texts, %d features", *features.shape)
        self._svms = OneVsRestSvm(features, rows, config)

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return signed distances."""
        return self._svms.scores(csr_matrix(self._vectorizer.transform(texts)))


class FastText:
    """fastText (Joulin et al., 2017) over jieba's words and word pairs, on the same rows.

    It has no mask for labels that a row could not have had, so two-class rows teach it that
    reviews are never neutral.
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
        """Return probabilities."""
        scores = np.zeros((len(texts), len(LABELS)))
        for row, words in enumerate(self._words(texts)):
            # Its own predict() fails under NumPy 2; the function that it wraps does not.
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

    It gives one number from 0 for negative to 1 for positive and has no neutral; 0.4 to 0.6
    counts as neutral, as is usual among its users.
    """

    name = "SnowNLP"

    def __init__(self, config: RunConfig, rows: Sequence[Example]) -> None:
        del config, rows  # nothing is trained

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return scores of which neutral's is highest from 0.4 to 0.6."""
        from snownlp import SnowNLP

        scores = []
        with Progress(self.name, len(texts)) as progress:
            for text in texts:
                try:
                    positive = SnowNLP(text).sentiments
                except ZeroDivisionError:  # raised for a text without a word
                    positive = 0.5
                neutral = 1.0 if 0.4 < positive < 0.6 else 0.0
                scores.append([positive, neutral, 1 - positive])
                progress.step()
        return np.array(scores)


BASELINES = (TfidfSvm, FastText, SnowNlp)


class Release:
    """An earlier release of ours; its name holds the version."""

    def __init__(self, classifier: Classifier) -> None:
        manifest = classifier.artifact.manifest
        self.name = f"{manifest.name} {manifest.version}"
        self._classifier = classifier

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return probabilities."""
        with Progress(self.name, len(texts)) as progress:
            predictions = self._classifier.predict(texts, progress)
            return np.array([prediction.probabilities for prediction in predictions])


class Teacher(Protocol):
    """A network that ours learned from, which shows its own progress."""

    def logits(self, texts: Sequence[str]) -> Logits: ...  # noqa: D102


class TeacherBaseline:
    """The fine-tuned teacher, a larger network than ours."""

    name = "teacher"

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return logits."""
        return self._teacher.logits(texts).astype(np.float64)
