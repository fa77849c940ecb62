"""The thin object from a text to an answer."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import artifact as artifacts
from model.artifact import Artifact
from model.config import LABELS, Label
from model.engines import Engine, EngineChoice, available_cpus, group_by_length, start_engine
from model.errors import BLANK, BlankTextError
from model.progress import Progress
from model.text.custom_words import NO_CUSTOM_WORDS, CustomWords
from model.text.encoding import Encoding

ProbabilityArray = NDArray[np.float64]

# Texts that are sorted by length together; among so many, lengths lie near each other.
CHUNK_TEXTS = 2048
# Chunks that are encoded while one runs, so that no processor waits for the encoding.
_CHUNKS_AHEAD = 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one text.

    ``probabilities`` stand in the order of ``LABELS`` and sum to 1; ``uncertain`` is true where
    the highest of them is below the artifact's threshold, or where no Chinese word was read.
    ``by_window`` are the (windows, labels) probabilities that they are made of.
    """

    label: Label
    confidence: float
    probabilities: tuple[float, ...]
    uncertain: bool
    encoding: Encoding
    by_window: ProbabilityArray = field(repr=False, compare=False)


def softmax(logits: NDArray[np.float32], temperature: float) -> ProbabilityArray:
    """Calibrated probabilities of shape (texts, labels) (Guo et al., 2017)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials: ProbabilityArray = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: ProbabilityArray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def combine(probabilities: ProbabilityArray, lengths: Sequence[int]) -> ProbabilityArray:
    """A text's (labels,) from its windows' (windows, labels): their mean, weighted by length.

    ``lengths`` counts the ids of each window.
    """
    combined: ProbabilityArray = probabilities[0]
    if len(lengths) > 1:
        combined = np.average(probabilities, axis=0, weights=lengths)
    return combined


class Classifier:
    """Answers for texts by an artifact and an engine. It may be shared between threads."""

    def __init__(
        self,
        artifact: Artifact,
        engine: Engine,
        threads: int | None = None,
        words: CustomWords = NO_CUSTOM_WORDS,
    ) -> None:
        """``threads`` runs of the engine go on at a time; by default one a processor."""
        self.artifact = artifact
        self.threads = threads or available_cpus()
        self.encoder = artifact.encoder(words)
        self.words = words.without_unmatched(self.encoder.pipeline)
        self.engine = engine

    @classmethod
    def load(
        cls,
        directory: Path,
        threads: int | None = None,
        engine: EngineChoice = "auto",
        words: CustomWords = NO_CUSTOM_WORDS,
    ) -> "Classifier":
        """A classifier from the artifact in a directory; see ``start_engine``.

        Raises:
            ArtifactError: the artifact cannot be used.
        """
        artifact = artifacts.load(directory)
        return cls(artifact, start_engine(artifact, engine), threads, words)

    @property
    def engine_name(self) -> str:
        """The name of the engine that answers."""
        return self.engine.name

    def encode(self, text: str) -> Encoding:
        """A text as the network reads it.

        Raises:
            BlankTextError: it leaves nothing to read, as ``is_blank`` has it.
        """
        encoding = self.encoder.encode(text)
        if not encoding.tokens:
            raise BlankTextError(BLANK)
        return encoding

    def probabilities(self, windows: Sequence[Sequence[int]]) -> ProbabilityArray:
        """Calibrated probabilities of shape (windows, labels), by one run of the engine."""
        return softmax(self.engine.logits(windows), self.artifact.manifest.temperature)

    def decide(self, encoding: Encoding, probabilities: ProbabilityArray) -> Prediction:
        """The answer for a text from the (windows, labels) probabilities of its windows."""
        combined = combine(probabilities, [len(window) for window in encoding.windows])
        by_label = tuple(combined.tolist())
        confidence = max(by_label)
        return Prediction(
            label=LABELS[by_label.index(confidence)],
            confidence=confidence,
            probabilities=by_label,
            uncertain=confidence < self.artifact.manifest.uncertain_below
            or not encoding.has_chinese,
            encoding=encoding,
            by_window=probabilities,
        )

    def decide_all(
        self, encodings: Iterable[Encoding], probabilities: ProbabilityArray
    ) -> Iterator[Prediction]:
        """The answers for texts, whose windows stand one text after the other."""
        start = 0
        for encoding in encodings:
            end = start + len(encoding.windows)
            yield self.decide(encoding, probabilities[start:end])
            start = end

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Generator[Prediction, None, None]:
        """The answers for any number of texts, in their order, in constant memory.

        Texts of near lengths run together, on every processor, while further ones are encoded.

        Args:
            texts: read as answers are asked for, some thousands ahead.
            progress: counts the texts that have been answered.

        Raises:
            BlankTextError: one of them is blank.
        """
        remaining = iter(texts)
        begun: deque[tuple[list[Encoding], _Runs]] = deque()
        pool = ThreadPoolExecutor(self.threads, "inference")
        try:
            while encodings := [self.encode(text) for text in islice(remaining, CHUNK_TEXTS)]:
                windows = [window for encoding in encodings for window in encoding.windows]
                begun.append((encodings, self._begin(windows, pool)))
                if len(begun) > _CHUNKS_AHEAD:
                    yield from self._finish(*begun.popleft(), progress)
            while begun:
                yield from self._finish(*begun.popleft(), progress)
        finally:  # also where nobody wants the rest
            pool.shutdown(cancel_futures=True)

    def _finish(
        self, encodings: list[Encoding], runs: "_Runs", progress: Progress | None
    ) -> Iterator[Prediction]:
        yield from self.decide_all(encodings, runs.result())
        if progress:
            progress.step(len(encodings))

    def _begin(self, windows: Sequence[Sequence[int]], pool: Executor) -> "_Runs":
        groups = group_by_length([len(window) for window in windows])
        runs = [
            pool.submit(self.probabilities, [windows[index] for index in group]) for group in groups
        ]
        return _Runs(groups, runs)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Windows under way: ``groups`` are the indices of those that each of ``runs`` reads."""

    groups: list[list[int]]
    runs: list[Future[ProbabilityArray]]

    def result(self) -> ProbabilityArray:
        probabilities = np.empty((sum(map(len, self.groups)), len(LABELS)))
        for group, run in zip(self.groups, self.runs, strict=True):
            probabilities[group] = run.result()
        return probabilities
