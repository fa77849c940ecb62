"""Why a text got its label: what each part of it adds, and what the gates did there.

What a unit adds to a label, its attribution, is measured by occlusion on the engine that serves
(leave-one-out; Li, Monroe and Jurafsky, 2016): the log-odds of the label with the unit, less those
without it. Log-odds keep apart what probabilities near 0 and 1 run together. A unit is a token or,
in a text of many tokens, a clause. The gates are those of ``model.traced_network``.

An explanation takes two steps, between which the occlusions run on the engine: an
``OcclusionPlan``, then its ``attribute``; ``explain`` does it all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from model.classifier import Classifier, Prediction, ProbabilityArray, combine, softmax
from model.engines import BATCH_SIZE
from model.text.clauses import split_clauses
from model.text.pipeline import Token, is_punctuation
from model.text.vocabulary import UNKNOWN_ID
from model.traced_network import Floats, TracedNetwork, WindowTrace

UnitKind = Literal["token", "clause"]

# Each unit costs a reading of its window.
MAX_UNITS = 128
# Windows of a text that are traced together; a trace takes 3 MB for each until it is summed up.
TRACED_TOGETHER = 8

_Item = TypeVar("_Item")


class Gates(NamedTuple):
    """The mean activation of each gate of one LSTM at a unit, from 0 (shut) to 1 (open)."""

    input: float
    forget: float
    output: float


class MemoryRetention(NamedTuple):
    """How much of what a unit wrote into each memory is left at the pooled states, 0 to 1."""

    forward: float
    backward: float


@dataclass(frozen=True, slots=True)
class UnitActivations:
    """What the two LSTMs did at a unit; one of several ids has their mean."""

    forward: Gates
    backward: Gates
    retention: MemoryRetention


@dataclass(frozen=True, slots=True)
class ExplainedUnit:
    """A token or a clause, and its part in the answer.

    ``unknown`` are those of its ``tokens`` that are read though the vocabulary lacks them.
    ``activations`` is ``None`` for dropped tokens, which the network never sees. ``without`` are
    the text's probabilities when the unit is left out, and ``attribution`` is what that takes away
    from the log-odds of each label.
    """

    tokens: tuple[Token, ...]
    unknown: tuple[Token, ...]
    activations: UnitActivations | None
    without: tuple[float, ...]
    attribution: tuple[float, ...]

    @property
    def offset(self) -> int:
        """Where it begins in the text, in code points."""
        return self.tokens[0].offset

    @property
    def length(self) -> int:
        """Its length in the text, in code points."""
        return max(token.offset + token.length for token in self.tokens) - self.offset

    @property
    def normalized(self) -> str:
        """The form that is read; of a clause, those of its tokens, with spaces between them."""
        return " ".join(token.normalized for token in self.tokens)

    @property
    def dropped(self) -> bool:
        """Whether it is made of stopwords, which the network never sees."""
        return all(token.dropped for token in self.tokens)

    @property
    def punctuation(self) -> bool:
        """Whether it is made of punctuation marks."""
        return all(map(is_punctuation, self.tokens))


@dataclass(frozen=True, slots=True)
class Explanation:
    """The prediction for a text, its units, and the probabilities by the weights in float32."""

    prediction: Prediction
    unit: UnitKind
    units: list[ExplainedUnit]
    float32_probabilities: tuple[float, ...]


class Occlusion(NamedTuple):
    """A window of a text without the ids of one of its units; ``remaining`` ids are left."""

    unit: int
    window: int
    ids: tuple[int, ...]
    remaining: int


class WindowActivations(NamedTuple):
    """What an explanation keeps of the trace of a window of T ids.

    ``means`` (T, 8) are the gates' means over the memory's units, forwards and backwards, then the
    retentions; ``logits`` (labels,) are those of the window.
    """

    means: Floats
    logits: Floats

    @classmethod
    def of(cls, trace: WindowTrace) -> "WindowActivations":
        """Return what is kept of a trace, which takes some hundred times the memory."""
        gates = [
            gate.mean(axis=1)
            for direction in (trace.forward, trace.backward)
            for gate in (direction.input_gate, direction.forget_gate, direction.output_gate)
        ]
        retentions = (trace.forward_retention, trace.backward_retention)
        return cls(np.stack([*gates, *retentions], axis=1), trace.logits)


def log_odds(probabilities: ProbabilityArray) -> ProbabilityArray:
    """Return log(p / (1 - p)) of probabilities (..., labels) that sum to 1; exact near 1 too."""
    labels = probabilities.shape[-1]
    others = probabilities @ (np.ones((labels, labels)) - np.eye(labels))
    least = np.finfo(np.float64).tiny
    odds: ProbabilityArray = np.log(np.maximum(probabilities, least))
    return odds - np.log(np.maximum(others, least))


def batched(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """Yield the items, in order, ``size`` at a time."""
    return (items[at : at + size] for at in range(0, len(items), size))


def trace_windows(
    network: TracedNetwork, windows: Sequence[Sequence[int]]
) -> list[WindowActivations]:
    """Return what the network did with at most ``TRACED_TOGETHER`` windows."""
    return [WindowActivations.of(trace) for trace in network.trace(windows)]


def explain(classifier: Classifier, text: str, max_units: int = MAX_UNITS) -> Explanation:
    """Return the prediction for a text and why.

    Raises:
        BlankTextError: the text is blank.
    """
    (prediction,) = classifier.predict([text])
    plan = OcclusionPlan(classifier, text, prediction, max_units)
    network = TracedNetwork(classifier.artifact.weights)
    activations = [
        each
        for windows in batched(prediction.encoding.windows, TRACED_TOGETHER)
        for each in trace_windows(network, windows)
    ]
    occluded = [classifier.probabilities(run) for run in batched(plan.windows, BATCH_SIZE)]
    return plan.attribute(activations, np.concatenate(occluded))


class OcclusionPlan:
    """The units of a text, and the windows that the engine has to run to explain it.

    The units are the tokens, dropped ones included, if those are at most ``max_units``, or else as
    many clauses. ``occlusions`` leave out each unit in turn: one window per unit, or more where a
    unit was cut between windows.
    """

    def __init__(
        self,
        classifier: Classifier,
        text: str,
        prediction: Prediction,
        max_units: int = MAX_UNITS,
    ) -> None:
        """Plan the explanation of a text for which the classifier gave ``prediction``."""
        self.prediction = prediction
        self._temperature = classifier.artifact.manifest.temperature
        encoder = classifier.encoder
        tokens = encoder.tokens(text)
        self.unit: UnitKind = "token" if len(tokens) <= max_units else "clause"
        parts = (
            [range(at, at + 1) for at in range(len(tokens))]
            if self.unit == "token"
            else split_clauses(text, tokens, max_units)
        )
        self.units = [tuple(tokens[part.start : part.stop]) for part in parts]
        self._unknown = [
            tuple(
                token
                for token in unit
                if not token.dropped and encoder.vocabulary.get(token.normalized) is None
            )
            for unit in self.units
        ]
        self._spans: list[range] = []  # the places of each unit's ids in the whole text
        end = 0
        for unit in self.units:
            start = end
            for token in unit:
                end += 0 if token.dropped else len(encoder.ids(token.normalized))
            self._spans.append(range(start, end))
        self._lengths = [len(window) for window in prediction.encoding.windows]
        self.occlusions = list(self._occlusions())

    @property
    def windows(self) -> list[tuple[int, ...]]:
        """The ids of each occlusion."""
        return [occlusion.ids for occlusion in self.occlusions]

    def _occlusions(self) -> Iterator[Occlusion]:
        begin = 0
        for number, window in enumerate(self.prediction.encoding.windows):
            for index, span in enumerate(self._spans):
                first, last = max(span.start - begin, 0), min(span.stop - begin, len(window))
                if first < last:
                    rest = window[:first] + window[last:]
                    # As in encoding: a window without ids is read as one unknown word.
                    yield Occlusion(index, number, rest or (UNKNOWN_ID,), len(rest))
            begin += len(window)

    def without(self, occluded_probabilities: ProbabilityArray) -> ProbabilityArray:
        """Return the text's probabilities when each unit is left out, (units, labels).

        Args:
            occluded_probabilities: (occlusions, labels), those of ``occlusions`` by the engine.
        """
        changed: dict[int, tuple[ProbabilityArray, list[int]]] = {}  # by unit
        for occlusion, occluded in zip(self.occlusions, occluded_probabilities, strict=True):
            if occlusion.unit not in changed:
                changed[occlusion.unit] = self.prediction.by_window.copy(), self._lengths.copy()
            by_window, lengths = changed[occlusion.unit]
            by_window[occlusion.window] = occluded
            lengths[occlusion.window] = occlusion.remaining
        result = np.tile(self.prediction.probabilities, (len(self.units), 1))
        for unit, (by_window, lengths) in changed.items():
            result[unit] = combine(by_window, lengths if any(lengths) else self._lengths)
        return result

    def attribute(
        self, windows: Sequence[WindowActivations], occluded_probabilities: ProbabilityArray
    ) -> Explanation:
        """Return the explanation.

        Args:
            windows: what the network did with each window of the text.
            occluded_probabilities: (occlusions, labels), those of ``occlusions`` by the engine.
        """
        logits = np.stack([window.logits for window in windows])
        exact = combine(softmax(logits, self._temperature), self._lengths)
        means = np.concatenate([window.means for window in windows])  # (ids, 8)
        without = self.without(occluded_probabilities)
        attributions = log_odds(np.array(self.prediction.probabilities)) - log_odds(without)
        units = [
            ExplainedUnit(
                tokens,
                unknown,
                _mean(means[span.start : span.stop]) if span else None,
                tuple(probabilities),
                tuple(attribution),
            )
            for tokens, unknown, span, probabilities, attribution in zip(
                self.units,
                self._unknown,
                self._spans,
                without.tolist(),
                attributions.tolist(),
                strict=True,
            )
        ]
        return Explanation(self.prediction, self.unit, units, tuple(exact.tolist()))


def _mean(means: Floats) -> UnitActivations:
    values = means.mean(axis=0).tolist()
    return UnitActivations(Gates(*values[:3]), Gates(*values[3:6]), MemoryRetention(*values[6:]))
