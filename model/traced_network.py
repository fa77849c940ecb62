"""The network again in NumPy, traced: every gate at every word can be looked at, without torch.

The equations are those of ``model.network``, in float32. A test holds them equal to torch's.

Letters in the shapes: W windows, T ids of a window, E embedding size, H hidden size, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact import Weights
from model.network_shapes import EMBEDDING

Floats = NDArray[np.float32]


def sigmoid(scores: Floats) -> Floats:
    """Return 1 / (1 + e^-x), written so that it cannot overflow."""
    half = np.float32(0.5)
    result: Floats = half + half * np.tanh(half * scores)
    return result


class Trace(NamedTuple):
    """What one LSTM did at each word, in its reading order; (T, H) each, or (T, W, H)."""

    input_gate: Floats
    forget_gate: Floats
    output_gate: Floats
    candidate: Floats
    states: Floats

    def reversed(self) -> "Trace":
        """Return the same trace from the last word to the first."""
        return Trace(*(rows[::-1] for rows in self))


@dataclass(frozen=True, slots=True)
class Cell:
    """An LSTM (Hochreiter and Schmidhuber, 1997; forget gate after Gers et al., 2000).

    The rows of ``input_weights`` (4H, E), ``recurrent_weights`` (4H, H) and ``bias`` (4H,) are
    those of the input gate, the forget gate, the output gate and the candidate: all gates together.
    """

    input_weights: Floats
    recurrent_weights: Floats
    bias: Floats

    @classmethod
    def of_torch(cls, input_weights: Floats, recurrent_weights: Floats, bias: Floats) -> "Cell":
        """Return the cell of torch's weights, whose candidate comes before the output gate."""

        def gates_first(rows: Floats) -> Floats:
            input_gate, forget_gate, candidate, output_gate = np.split(rows, 4)
            return np.concatenate([input_gate, forget_gate, output_gate, candidate])

        return cls(gates_first(input_weights), gates_first(recurrent_weights), gates_first(bias))

    def run(self, vectors: Floats) -> Trace:
        """Run over word vectors (T, E), or (T, W, E), from the first to the last."""
        words = vectors.reshape(-1, vectors.shape[-1])  # one product is faster than one per word
        from_words = words @ self.input_weights.T + self.bias
        size = len(self.bias) // 4
        state = memory = np.zeros((*vectors.shape[1:-1], size), dtype=np.float32)
        steps = []
        for from_word in from_words.reshape(*vectors.shape[:-1], 4 * size):  # (..., 4H)
            scores = from_word + state @ self.recurrent_weights.T  # (..., 4H)
            gates = sigmoid(scores[..., : 3 * size])
            input_gate = gates[..., :size]  # how much of the word enters the memory
            forget_gate = gates[..., size : 2 * size]  # how much of the memory stays
            output_gate = gates[..., 2 * size :]  # how much of the memory shows
            candidate = np.tanh(scores[..., 3 * size :])  # what the word would write
            memory = forget_gate * memory + input_gate * candidate
            state = output_gate * np.tanh(memory)
            steps.append((input_gate, forget_gate, output_gate, candidate, state))
        return Trace(*map(np.stack, zip(*steps, strict=True)))


@dataclass(frozen=True, slots=True)
class WindowTrace:
    """What the network did with a window; rows are in the order of the text, in each direction.

    ``forward_retention`` and ``backward_retention`` (T,) are explained at ``memory_retention``;
    ``attention`` (T,) sums to 1; ``logits`` has shape (L,).
    """

    forward: Trace
    backward: Trace
    forward_retention: Floats
    backward_retention: Floats
    attention: Floats
    logits: Floats


class TracedNetwork:
    """The network of an artifact in float32. Threads may share one."""

    def __init__(self, weights: Weights) -> None:
        """Take some tens of megabytes; the embeddings stay in half precision."""
        self._embedding = weights[EMBEDDING]
        self._forward = _cell(weights, "forward")
        self._backward = _cell(weights, "backward")
        self._attention = weights["attention.weight"][0].astype(np.float32)  # (2H,)
        self._output = weights["output.weight"].astype(np.float32)  # (L, 6H)
        self._output_bias = weights["output.bias"].astype(np.float32)  # (L,)

    def trace(self, windows: Sequence[Sequence[int]]) -> list[WindowTrace]:
        """Run over the ids of windows, together: it takes little longer than the longest alone."""
        forward = self._run(self._forward, windows)
        backward = self._run(self._backward, [ids[::-1] for ids in windows])
        return [
            self._pool(ahead, back.reversed())
            for ahead, back in zip(forward, backward, strict=True)
        ]

    def _run(self, cell: Cell, windows: Sequence[Sequence[int]]) -> list[Trace]:
        # What is padded comes last, so that no word sees it.
        padded = np.zeros((max(map(len, windows)), len(windows)), dtype=np.int64)  # (T, W)
        for number, ids in enumerate(windows):
            padded[: len(ids), number] = ids
        trace = cell.run(self._embedding[padded].astype(np.float32))
        return [
            Trace(*(rows[: len(ids), number] for rows in trace))
            for number, ids in enumerate(windows)
        ]

    def _pool(self, forward: Trace, backward: Trace) -> WindowTrace:
        states = np.concatenate([forward.states, backward.states], axis=1)  # (T, 2H)

        scores = states @ self._attention  # (T,); its bias makes no difference
        exponentials = np.exp(scores - scores.max())
        attention = exponentials / exponentials.sum()
        pooled = np.concatenate([attention @ states, states.max(axis=0), states.mean(axis=0)])

        # The share that each state has in each pooled unit: the mean over the three pools.
        highest = states.argmax(axis=0) == np.arange(len(states))[:, None]  # (T, 2H)
        pool_weights = (attention[:, None] + highest + np.float32(1 / len(states))) / 3  # (T, 2H)
        of_forward, of_backward = np.split(pool_weights.astype(np.float32), 2, axis=1)
        return WindowTrace(
            forward,
            backward,
            memory_retention(forward, of_forward),
            memory_retention(backward.reversed(), of_backward[::-1])[::-1],
            attention,
            self._output @ pooled + self._output_bias,
        )


def _cell(weights: Weights, direction: str) -> Cell:
    def named(name: str) -> Floats:
        return weights[f"reader.{direction}_lstm.{name}_l0"].astype(np.float32)

    return Cell.of_torch(
        named("weight_ih"), named("weight_hh"), named("bias_ih") + named("bias_hh")
    )


def memory_retention(trace: Trace, pool_weights: Floats) -> Floats:
    """Return how much of what each word wrote into the memory is left when the states are pooled.

    This is no standard measure; it follows from the cell's equations. A word writes
    ``input_gate * candidate``, of which each later forget gate keeps its part. With the weights
    (T, H) that the states have in the pooled state, the part kept of word t is, unit by unit,
    weight[t] + forget[t+1] * (weight[t+1] + forget[t+2] * (...)).

    Returns:
        (T,) the mean over units, weighted by how much the word wrote into each.
    """
    written = np.abs(trace.input_gate * trace.candidate)  # (T, H)
    kept = np.zeros_like(pool_weights[0])  # (H,)
    kept_by_word = []
    later_forgets = [*trace.forget_gate[1:], kept]
    for weight, forget_gate in zip(pool_weights[::-1], later_forgets[::-1], strict=True):
        kept = weight + forget_gate * kept
        kept_by_word.append(kept)
    total = written.sum(axis=1)
    result: Floats = (written * np.stack(kept_by_word[::-1])).sum(axis=1) / np.maximum(total, 1e-9)
    return result
