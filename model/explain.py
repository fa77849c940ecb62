"""Why a text got its label: what the gates did at each token, and what each token adds.

What a token adds to a label, its attribution, is measured by occlusion on the engine that serves
(leave-one-out; Li, Monroe and Jurafsky, 2016): the probability with the token, less the probability
without it. The gates are those of ``model.traced_network``.

An explanation takes two steps, between which the occlusions run on the engine:
``plan_occlusions``, then ``OcclusionPlan.attribute``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.classifier import Classifier, Prediction, ProbabilityArray, combine, softmax
from model.errors import TextLimitError
from model.text.pipeline import Token
from model.text.vocabulary import UNKNOWN_ID
from model.traced_network import Floats, WindowTrace


class Gates(NamedTuple):
    """The mean activation of each gate of one LSTM at a token, from 0 (shut) to 1 (open)."""

    input: float
    forget: float
    output: float


class MemoryRetention(NamedTuple):
    """How much of what a token wrote into each memory is left at the pooled states, 0 to 1."""

    forward: float
    backward: float


@dataclass(frozen=True, slots=True)
class TokenActivations:
    """What the two LSTMs did at a token; a token of several ids has their mean."""

    forward: Gates
    backward: Gates
    retention: MemoryRetention


@dataclass(frozen=True, slots=True)
class ExplainedToken:
    """A token, whether the vocabulary lacks it, and its part in the answer.

    ``activations`` is ``None`` for a dropped token, which the network never sees. ``attribution``
    is each label's probability with the token less that without it; it sums to 0 over the labels.
    """

    token: Token
    unknown: bool
    activations: TokenActivations | None
    attribution: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The prediction for a text, its tokens, and the probabilities by the weights in float32."""

    prediction: Prediction
    tokens: list[ExplainedToken]
    float32_probabilities: tuple[float, ...]


class Occlusion(NamedTuple):
    """A window of a text without the ids of one of its tokens; ``remaining`` ids are left."""

    token: int
    window: int
    ids: tuple[int, ...]
    remaining: int


def plan_occlusions(
    classifier: Classifier, text: str, prediction: Prediction, max_tokens: int
) -> "OcclusionPlan":
    """Plan the explanation of a text for which the classifier gave ``prediction``.

    Raises:
        TextLimitError: it has more than ``max_tokens`` tokens, dropped ones included, or more
            than as many ids.
    """
    ids = sum(map(len, prediction.encoding.windows))

    def check(tokens: int) -> None:
        if max(tokens, ids) > max_tokens:
            raise TextLimitError(
                f"the text has {tokens} tokens, which are read as {ids} words and characters; "
                f"at most {max_tokens} of either are explained"
            )

    check(prediction.encoding.tokens)  # first, since it costs nothing
    plan = OcclusionPlan(classifier, text, prediction)
    check(len(plan.tokens))
    return plan


class OcclusionPlan:
    """The tokens of a text, and the windows that the engine has to run to explain it.

    ``occlusions`` leave out each token in turn: one window per token, or more where a token was
    cut between windows.
    """

    def __init__(self, classifier: Classifier, text: str, prediction: Prediction) -> None:
        self.prediction = prediction
        self._temperature = classifier.artifact.manifest.temperature
        encoder = classifier.encoder
        self.tokens = encoder.tokens(text)
        self._unknown = [
            not token.dropped and encoder.vocabulary.get(token.normalized) is None
            for token in self.tokens
        ]
        self._spans: list[range] = []  # the places of each token's ids in the whole text
        end = 0
        for token in self.tokens:
            start = end
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

    def attributions(self, occluded_probabilities: ProbabilityArray) -> ProbabilityArray:
        """Return what each token adds to each label, (tokens, labels); 0 where it is dropped.

        Args:
            occluded_probabilities: (occlusions, labels), those of ``occlusions`` by the engine.
        """
        whole = np.array(self.prediction.probabilities)
        without: dict[int, tuple[ProbabilityArray, list[int]]] = {}  # by token
        for occlusion, occluded in zip(self.occlusions, occluded_probabilities, strict=True):
            if occlusion.token not in without:
                without[occlusion.token] = self.prediction.by_window.copy(), self._lengths.copy()
            by_window, lengths = without[occlusion.token]
            by_window[occlusion.window] = occluded
            lengths[occlusion.window] = occlusion.remaining
        result = np.zeros((len(self.tokens), len(whole)))
        for token, (by_window, lengths) in without.items():
            result[token] = whole - combine(by_window, lengths if any(lengths) else self._lengths)
        return result

    def attribute(
        self, traces: Sequence[WindowTrace], occluded_probabilities: ProbabilityArray
    ) -> Explanation:
        """Return the explanation.

        Args:
            traces: what the network did with each window of the text.
            occluded_probabilities: (occlusions, labels), those of ``occlusions`` by the engine.
        """
        logits = np.stack([trace.logits for trace in traces])
        exact = combine(softmax(logits, self._temperature), self._lengths)
        activations = np.concatenate([_activations(trace) for trace in traces])  # (T, 8)
        attributions = self.attributions(occluded_probabilities).tolist()
        tokens = [
            ExplainedToken(
                token,
                unknown,
                None if token.dropped else _mean(activations[span.start : span.stop]),
                tuple(attribution),
            )
            for token, unknown, span, attribution in zip(
                self.tokens, self._unknown, self._spans, attributions, strict=True
            )
        ]
        return Explanation(self.prediction, tokens, tuple(exact.tolist()))


def _activations(trace: WindowTrace) -> Floats:
    """Return (T, 8): the gates' means over units, forwards and backwards, then the retentions."""
    gates = [
        gate.mean(axis=1)
        for direction in (trace.forward, trace.backward)
        for gate in (direction.input_gate, direction.forget_gate, direction.output_gate)
    ]
    return np.stack([*gates, trace.forward_retention, trace.backward_retention], axis=1)


def _mean(activations: Floats) -> TokenActivations:
    means = activations.mean(axis=0).tolist()
    return TokenActivations(Gates(*means[:3]), Gates(*means[3:6]), MemoryRetention(*means[6:]))
