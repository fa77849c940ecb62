"""Why a text was read as it was: what each gate did at each token, and what each token adds.

The network is a pair of LSTMs (``model.network``); here are its equations again in NumPy, one a
line, so that every gate can be looked at and nothing needs torch. What a token adds to a label is
measured on the engine that serves: the probability with the token, less the probability without.

Letters in the shapes: T ids of a window, E embedding size, H hidden size, L labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact import EMBEDDING, Weights
from model.classifier import Classifier, Prediction, Probabilities, combine, softmax
from model.text.pipeline import Token
from model.text.vocabulary import UNKNOWN_ID

Floats = NDArray[np.float32]


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + e^-x), written so that it cannot overflow."""
    half = np.float32(0.5)
    result: Floats = half + half * np.tanh(half * scores)
    return result


class Trace(NamedTuple):
    """What one LSTM did at each word of a window, in the order in which it read; (T, H) each."""

    input_gate: Floats
    forget_gate: Floats
    output_gate: Floats
    candidate: Floats
    states: Floats

    def turned_round(self) -> "Trace":
        """The same from the last word to the first."""
        return Trace(*(rows[::-1] for rows in self))


@dataclass(frozen=True, slots=True)
class Cell:
    """An LSTM (Hochreiter and Schmidhuber, 1997; forget gate after Gers et al., 2000).

    The rows of ``input_weights`` (4H, E), ``recurrent_weights`` (4H, H) and ``bias`` (4H,) are
    those of the input gate, the forget gate, the candidate and the output gate, as in torch.
    """

    input_weights: Floats
    recurrent_weights: Floats
    bias: Floats

    def read(self, vectors: Floats) -> Trace:
        """Reads word vectors (T, E) from the first to the last."""
        from_words = vectors @ self.input_weights.T + self.bias  # (T, 4H)
        hidden_size = len(self.bias) // 4
        state = memory = np.zeros(hidden_size, dtype=np.float32)  # (H,)
        steps = []
        for from_word in from_words:
            scores = from_word + self.recurrent_weights @ state  # (4H,)
            to_enter, to_stay, to_write, to_show = scores.reshape(4, hidden_size)
            input_gate = sigmoid(to_enter)  # how much of the word enters the memory
            forget_gate = sigmoid(to_stay)  # how much of the memory stays
            candidate = np.tanh(to_write)  # what the word would write
            memory = forget_gate * memory + input_gate * candidate
            output_gate = sigmoid(to_show)  # how much of the memory shows
            state = output_gate * np.tanh(memory)
            steps.append((input_gate, forget_gate, output_gate, candidate, state))
        return Trace(*map(np.stack, zip(*steps, strict=True)))


@dataclass(frozen=True, slots=True)
class Reading:
    """What the network did with a window; rows are in the order of the text, in each direction.

    ``retained`` (T,) is how much of what each word wrote into the memory is still in the pooled
    state; ``attention`` (T,) sums to 1; ``logits`` has shape (L,).
    """

    forward: Trace
    backward: Trace
    forward_retained: Floats
    backward_retained: Floats
    attention: Floats
    logits: Floats


class ReferenceNetwork:
    """The network of an artifact in float32. It may be shared between threads."""

    def __init__(self, weights: Weights) -> None:
        """Takes some tens of megabytes; the embeddings stay in half precision.

        Raises:
            ArtifactError: the weights cannot be read.
        """
        self._embedding = weights[EMBEDDING]
        self._forward = _cell(weights, "forward")
        self._backward = _cell(weights, "backward")
        self._attention = weights["attention.weight"][0].astype(np.float32)  # (2H,)
        self._output = weights["output.weight"].astype(np.float32)  # (L, 6H)
        self._output_bias = weights["output.bias"].astype(np.float32)  # (L,)

    def read_all(self, prediction: Prediction) -> list[Reading]:
        """Reads every window of a text."""
        return [self.read(ids) for ids in prediction.encoding.windows]

    def read(self, ids: Sequence[int]) -> Reading:
        """Reads the ids of one window."""
        vectors = self._embedding[list(ids)].astype(np.float32)  # (T, E)
        forward = self._forward.read(vectors)
        backward = self._backward.read(vectors[::-1]).turned_round()
        states = np.concatenate([forward.states, backward.states], axis=1)  # (T, 2H)

        scores = states @ self._attention  # (T,); its bias makes no difference
        exponentials = np.exp(scores - scores.max())
        attention = exponentials / exponentials.sum()
        pooled = np.concatenate([attention @ states, states.max(axis=0), states.mean(axis=0)])

        # How much of each pooled unit comes from each state: the mean over the three pools.
        highest = states.argmax(axis=0) == np.arange(len(states))[:, None]  # (T, 2H)
        shares = (attention[:, None] + highest + np.float32(1 / len(states))) / 3  # (T, 2H)
        of_forward, of_backward = np.split(shares.astype(np.float32), 2, axis=1)
        return Reading(
            forward,
            backward,
            _retained(forward, of_forward),
            _retained(backward.turned_round(), of_backward[::-1])[::-1],
            attention,
            self._output @ pooled + self._output_bias,
        )


def _cell(weights: Weights, direction: str) -> Cell:
    def of(name: str) -> Floats:
        return weights[f"reader.{direction}_lstm.{name}_l0"].astype(np.float32)

    return Cell(of("weight_ih"), of("weight_hh"), of("bias_ih") + of("bias_hh"))


def _retained(trace: Trace, shares: Floats) -> Floats:
    """How much of what each word wrote is in the memory behind the states that were pooled.

    A word writes ``input_gate * candidate``; each later forget gate keeps its part of that. With
    the states' ``shares`` (T, H) in the pooled state, the part kept of word t is
    shares[t] + forget[t+1] * (shares[t+1] + forget[t+2] * (…)), unit by unit.

    Returns:
        (T,) the mean over units, each weighted by how much the word wrote there.
    """
    written = np.abs(trace.input_gate * trace.candidate)  # (T, H)
    kept = np.zeros_like(shares[0])  # (H,)
    retained = []
    later_forgets = [*trace.forget_gate[1:], kept]
    for share, forget_gate in zip(shares[::-1], later_forgets[::-1], strict=True):
        kept = share + forget_gate * kept
        retained.append(kept)
    total = written.sum(axis=1)
    result: Floats = (written * np.stack(retained[::-1])).sum(axis=1) / np.maximum(total, 1e-9)
    return result


class Gates(NamedTuple):
    """The mean activation of each gate of one LSTM at a token, from 0 (shut) to 1 (open)."""

    input: float
    forget: float
    output: float


class Retained(NamedTuple):
    """How much of what a token wrote into each memory is left at the pooled states, 0 to 1."""

    forward: float
    backward: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What the two LSTMs did at a token; a token of several ids has their mean."""

    forward: Gates
    backward: Gates
    retained: Retained


@dataclass(frozen=True, slots=True)
class ExplainedToken:
    """A token, whether it was read and the vocabulary lacks it, and what it did.

    ``activity`` is ``None`` for a dropped token, which the network never sees. ``contribution`` is
    each label's probability with the token less that without it; it sums to 0 over the labels.
    """

    token: Token
    unknown: bool
    activity: Activity | None
    contribution: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for a text, its tokens, and the probabilities by the weights in float32."""

    prediction: Prediction
    tokens: list[ExplainedToken]
    reference: tuple[float, ...]


class Omission(NamedTuple):
    """A window of a text without the ids of one of its tokens; ``left`` of them remain."""

    token: int
    window: int
    ids: tuple[int, ...]
    left: int


class Subject:
    """A text that is to be explained.

    ``omissions`` are what the engine has to read: each token left out, which is one window, or
    more where a token was cut between them.
    """

    def __init__(self, classifier: Classifier, text: str, prediction: Prediction) -> None:
        """``prediction`` is the classifier's for this text."""
        self.prediction = prediction
        self._temperature = classifier.artifact.manifest.temperature
        self.tokens = classifier.encoder.tokens(text)
        encoder = classifier.encoder
        self.unknown = [
            not token.dropped and encoder.vocabulary.get(token.normalized) is None
            for token in self.tokens
        ]
        self.spans: list[range] = []  # the places of each token's ids in the whole text
        end = 0
        for token in self.tokens:
            start = end
            end += 0 if token.dropped else len(encoder.ids(token.normalized))
            self.spans.append(range(start, end))
        self.omissions = list(self._omissions())

    def _omissions(self) -> Iterator[Omission]:
        begin = 0
        for number, window in enumerate(self.prediction.encoding.windows):
            for index, span in enumerate(self.spans):
                first, last = max(span.start - begin, 0), min(span.stop - begin, len(window))
                if first < last:
                    rest = window[:first] + window[last:]
                    # As in encoding: nothing to read is read as one unknown word.
                    yield Omission(index, number, rest or (UNKNOWN_ID,), len(rest))
            begin += len(window)

    def contributions(self, without: Probabilities) -> Probabilities:
        """What each token adds to each label, of shape (tokens, labels); 0 where it is dropped.

        ``without`` (omissions, labels) is what the engine says of the omissions.
        """
        whole = np.array(self.prediction.probabilities)
        lengths = [len(window) for window in self.prediction.encoding.windows]
        changed: dict[int, tuple[Probabilities, list[int]]] = {}
        for omission, answer in zip(self.omissions, without, strict=True):
            if omission.token not in changed:
                changed[omission.token] = self.prediction.by_window.copy(), lengths.copy()
            rows, left = changed[omission.token]
            rows[omission.window], left[omission.window] = answer, omission.left
        result = np.zeros((len(self.tokens), len(whole)))
        for token, (rows, left) in changed.items():
            result[token] = whole - combine(rows, left if any(left) else lengths)
        return result

    def explain(self, readings: Sequence[Reading], without: Probabilities) -> Explanation:
        """The explanation, from what the network did with each window, and ``contributions``."""
        lengths = [len(window) for window in self.prediction.encoding.windows]
        logits = np.stack([reading.logits for reading in readings])
        reference = combine(softmax(logits, self._temperature), lengths)
        activities = np.concatenate([_activities(reading) for reading in readings])  # (T, 8)
        contributions = self.contributions(without).tolist()
        tokens = [
            ExplainedToken(
                token,
                unknown,
                None if token.dropped else _mean(activities[span.start : span.stop]),
                tuple(added),
            )
            for token, unknown, span, added in zip(
                self.tokens, self.unknown, self.spans, contributions, strict=True
            )
        ]
        return Explanation(self.prediction, tokens, tuple(reference.tolist()))


def _activities(reading: Reading) -> Floats:
    """(T, 8): the gates' means over units, forwards and backwards, and what was retained."""
    gates = [
        gate.mean(axis=1)
        for trace in (reading.forward, reading.backward)
        for gate in (trace.input_gate, trace.forget_gate, trace.output_gate)
    ]
    return np.stack([*gates, reading.forward_retained, reading.backward_retained], axis=1)


def _mean(activities: Floats) -> Activity:
    means = activities.mean(axis=0).tolist()
    return Activity(Gates(*means[:3]), Gates(*means[3:6]), Retained(*means[6:]))


def explain(classifier: Classifier, network: ReferenceNetwork, text: str) -> Explanation:
    """The answer for a text and its explanation.

    Raises:
        BlankTextError: it leaves nothing to read.
    """
    (prediction,) = classifier.predict([text])
    subject = Subject(classifier, text, prediction)
    without = classifier.read_windows([omission.ids for omission in subject.omissions])
    return subject.explain(network.read_all(prediction), without)
