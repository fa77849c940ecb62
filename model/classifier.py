"""The thin object from a text to an answer."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import artifact as artifacts
from model.artifact import Artifact
from model.config import LABELS
from model.encoding import Encoding
from model.engines import Engine, EngineChoice, Logits, by_length, start_engine
from model.errors import BlankTextError


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text.

    ``probabilities`` stand in the order of ``LABELS`` and sum to 1; ``uncertain`` is true where
    the highest of them is below the artifact's threshold, or where no Chinese word was read.
    """

    label: str
    confidence: float
    probabilities: tuple[float, ...]
    uncertain: bool
    encoding: Encoding


def softmax(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Calibrated probabilities of shape (texts, labels) (Guo et al., 2017)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


class Classifier:
    """Answers for texts by an artifact and an engine. It may be shared between threads."""

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self.artifact = artifact
        self._encoder = artifact.encoder()
        self._engine = engine

    @classmethod
    def load(
        cls, directory: Path, threads: int | None = None, engine: EngineChoice = "auto"
    ) -> "Classifier":
        """A classifier from the artifact in a directory; see ``start_engine``.

        Raises:
            ArtifactError: the artifact cannot be used.
        """
        artifact = artifacts.load(directory)
        return cls(artifact, start_engine(artifact, engine, threads))

    @property
    def engine_name(self) -> str:
        """The name of the engine that answers."""
        return self._engine.name

    def encode(self, text: str) -> Encoding:
        """A text as the network reads it.

        Raises:
            BlankTextError: there is nothing but white space to classify.
        """
        if not text.strip():
            raise BlankTextError("the text is empty or blank")
        return self._encoder.encode(text)

    def classify(
        self, encodings: Sequence[Encoding], cancelled: Callable[[], bool] = lambda: False
    ) -> list[Prediction]:
        """The answers for encoded texts, in their order.

        A text of several windows gets the mean of their probabilities, each weighted by the
        number of its ids.

        Raises:
            CancelledError: ``cancelled``, asked before each run of the engine, said so.
        """
        windows = [window for encoding in encodings for window in encoding.windows]
        probabilities = self._window_probabilities(windows, cancelled)
        predictions = []
        start = 0
        for encoding in encodings:
            end = start + len(encoding.windows)
            weights = np.fromiter(map(len, encoding.windows), dtype=np.float64)
            combined = np.average(probabilities[start:end], axis=0, weights=weights)
            predictions.append(self._prediction(encoding, combined))
            start = end
        return predictions

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """The answers for texts, in their order.

        Raises:
            BlankTextError: one of them is blank.
        """
        return self.classify([self.encode(text) for text in texts])

    def _window_probabilities(
        self, windows: Sequence[Sequence[int]], cancelled: Callable[[], bool]
    ) -> NDArray[np.float64]:
        def run(batch: Sequence[Sequence[int]]) -> Logits:
            if cancelled():
                raise CancelledError
            return self._engine.logits(batch)

        logits = by_length(run, windows)
        return softmax(logits, self.artifact.manifest.temperature)

    def _prediction(self, encoding: Encoding, probabilities: NDArray[np.float64]) -> Prediction:
        best = int(probabilities.argmax())
        confidence = float(probabilities[best])
        return Prediction(
            label=LABELS[best],
            confidence=confidence,
            probabilities=tuple(map(float, probabilities)),
            uncertain=confidence < self.artifact.manifest.uncertain_below
            or not encoding.has_chinese,
            encoding=encoding,
        )
