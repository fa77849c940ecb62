"""The classifier: from a text to its label and probabilities."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model import artifact as artifacts
from model.artifact import Artifact
from model.config import LABELS, Label
from model.engine_threads import EngineThreads
from model.engines import Engine, EngineChoice, available_cpus, group_by_length, start_engine
from model.errors import BLANK, BlankTextError
from model.progress import Progress
from model.text.custom_words import NO_CUSTOM_WORDS, CustomWords
from model.text.encoding import Encoding

ProbabilityArray = NDArray[np.float64]

# Why an answer is uncertain.
Doubt = Literal["low_confidence", "no_chinese", "unknown_words"]

# Share of a text's words that the vocabulary lacks from which on an uncertain answer names them:
# from there on it was read mostly by characters. Sure answers to such texts are right as often as
# others, so unknown words make no answer uncertain (bench/unknown_words.py).
MANY_UNKNOWN: Final = 0.5

# Texts that are sorted by length together; among this many, neighbours are of similar length.
CHUNK_TEXTS = 2048
# Chunks encoded ahead of the one that runs, so that no processor waits for the encoding.
_CHUNKS_AHEAD = 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the classifier says of one text.

    ``probabilities`` are in the order of ``LABELS`` and sum to 1. ``uncertain_because`` is empty
    unless the highest of them is below the artifact's threshold (``low_confidence``) or the text
    has no Chinese word (``no_chinese``); it then also tells of many ``unknown_words``.
    ``by_window`` are the (windows, labels) probabilities that they are combined from.
    """

    label: Label
    confidence: float
    probabilities: tuple[float, ...]
    uncertain_because: tuple[Doubt, ...]
    encoding: Encoding
    by_window: ProbabilityArray = field(repr=False, compare=False)

    @property
    def uncertain(self) -> bool:
        """Whether a person should check the answer."""
        return bool(self.uncertain_because)


def softmax(logits: NDArray[np.float32], temperature: float) -> ProbabilityArray:
    """Return calibrated probabilities of shape (texts, labels) (Guo et al., 2017)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials: ProbabilityArray = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: ProbabilityArray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def combine(probabilities: ProbabilityArray, lengths: Sequence[int]) -> ProbabilityArray:
    """Return a text's (labels,) from its windows' (windows, labels): their mean by length.

    ``lengths`` are the numbers of ids in each window.
    """
    combined: ProbabilityArray = probabilities[0]
    if len(lengths) > 1:
        combined = np.average(probabilities, axis=0, weights=lengths)
    return combined


class Classifier:
    """Classifies texts by an artifact and an engine. Threads may share one."""

    def __init__(
        self,
        artifact: Artifact,
        engine: Engine,
        threads: int | None = None,
        words: CustomWords = NO_CUSTOM_WORDS,
    ) -> None:
        """Use ``threads`` runs of the engine at a time; by default one per processor."""
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
        """Load the artifact in a directory and start the engine; see ``start_engine``.

        Raises:
            ArtifactError: the artifact cannot be used.
        """
        artifact = artifacts.load(directory)
        return cls(artifact, start_engine(artifact, engine), threads, words)

    @property
    def engine_name(self) -> str:
        """The name of the engine in use."""
        return self.engine.name

    def encode(self, text: str) -> Encoding:
        """Turn a text into the ids that the network reads.

        Raises:
            BlankTextError: it leaves nothing to read, as ``is_blank`` has it.
        """
        encoding = self.encoder.encode(text)
        if not encoding.tokens:
            raise BlankTextError(BLANK)
        return encoding

    def probabilities(self, windows: Sequence[Sequence[int]]) -> ProbabilityArray:
        """Return calibrated probabilities (windows, labels), by one run of the engine."""
        return softmax(self.engine.logits(windows), self.artifact.manifest.temperature)

    def decide(self, encoding: Encoding, probabilities: ProbabilityArray) -> Prediction:
        """Combine the (windows, labels) probabilities of a text into its prediction."""
        combined = combine(probabilities, [len(window) for window in encoding.windows])
        by_label = tuple(combined.tolist())
        confidence = max(by_label)
        return Prediction(
            label=LABELS[by_label.index(confidence)],
            confidence=confidence,
            probabilities=by_label,
            uncertain_because=self._doubts(confidence, encoding),
            encoding=encoding,
            by_window=probabilities,
        )

    def _doubts(self, confidence: float, encoding: Encoding) -> tuple[Doubt, ...]:
        sure = confidence >= self.artifact.manifest.uncertain_below
        if sure and encoding.has_chinese:
            return ()
        doubts: list[Doubt] = []
        if not sure:
            doubts.append("low_confidence")
        if not encoding.has_chinese:
            doubts.append("no_chinese")
        if encoding.unknown >= MANY_UNKNOWN * encoding.tokens:
            doubts.append("unknown_words")
        return tuple(doubts)

    def decide_all(
        self, encodings: Iterable[Encoding], probabilities: ProbabilityArray
    ) -> Iterator[Prediction]:
        """Yield the predictions for texts whose windows follow one another in ``probabilities``."""
        start = 0
        for encoding in encodings:
            end = start + len(encoding.windows)
            yield self.decide(encoding, probabilities[start:end])
            start = end

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Generator[Prediction, None, None]:
        """Yield the predictions for any number of texts, in order, in constant memory.

        Texts of similar length run together, on every processor, while further ones are encoded.

        Args:
            texts: read as predictions are asked for, some thousands ahead.
            progress: counts the texts that have been classified.

        Raises:
            BlankTextError: one of them is blank.
        """
        remaining = iter(texts)
        waiting: deque[_Run] = deque()
        chunks: deque[_Chunk] = deque()
        threads = EngineThreads(
            self.threads,
            take=lambda: waiting.popleft() if waiting else None,
            perform=lambda run: self.probabilities(run.windows),
            deliver=_Run.deliver,
        )
        try:
            while encodings := [self.encode(text) for text in islice(remaining, CHUNK_TEXTS)]:
                chunks.append(_Chunk(encodings))
                with threads.changed:
                    waiting += chunks[-1].runs
                    threads.changed.notify_all()
                if len(chunks) > _CHUNKS_AHEAD:
                    yield from self._finish(chunks.popleft(), progress)
            while chunks:
                yield from self._finish(chunks.popleft(), progress)
        finally:  # also if the caller abandons the rest
            threads.stop()
            threads.join()

    def _finish(self, chunk: "_Chunk", progress: Progress | None) -> Iterator[Prediction]:
        yield from self.decide_all(chunk.encodings, chunk.probabilities())
        if progress:
            progress.step(len(chunk.encodings))


class _Run:
    """Windows that run together, and their probabilities once they have."""

    def __init__(self, windows: Sequence[Sequence[int]]) -> None:
        self.windows = windows
        self.done: Future[ProbabilityArray] = Future()

    def deliver(self, result: ProbabilityArray | Exception, started: float, ended: float) -> None:
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class _Chunk:
    """Encoded texts, and the runs that their windows are grouped into."""

    def __init__(self, encodings: list[Encoding]) -> None:
        self.encodings = encodings
        windows = [window for encoding in encodings for window in encoding.windows]
        self._groups = group_by_length([len(window) for window in windows])
        self.runs = [_Run([windows[index] for index in group]) for group in self._groups]

    def probabilities(self) -> ProbabilityArray:
        """Wait for the (windows, labels) probabilities."""
        probabilities = np.empty((sum(map(len, self._groups)), len(LABELS)))
        for group, run in zip(self._groups, self.runs, strict=True):
            probabilities[group] = run.done.result()
        return probabilities
