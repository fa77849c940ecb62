"""The network in int8 for ONNX Runtime, and how far its answers agree with those of the weights.

Every row of the embedding and every column of the LSTM's matrices is scaled to int8 by its own
largest value; what flows between them is scaled while it runs, by the largest value of the batch
(dynamic quantisation). Attention, pooling and the linear layer stay in float32.

The LSTM's matrices use half of int8's range. x86 with AVX2 or AVX-512 and without VNNI adds two
products of uint8 and int8 in 16 bits: 2 * 255 * 64 fits, 2 * 255 * 127 would be cut off.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from model.artifact import EMBEDDING, Artifact, Weights
from model.classifier import Classifier
from model.config import SourceConfig
from model.corpora import Example
from model.engines import OnnxEngine, TorchEngine
from model.errors import ExportError
from model.onnx_graph import EMBEDDING_MAX, LSTM_MAX
from model.scores import predicted_labels

logger = logging.getLogger(__name__)

MIN_AGREEMENT = 0.995
MAX_ACCURACY_LOSS = 0.002

# Letters as in `model.network`. With `sequence_lens` the LSTM reads no padding, turns each text
# round inside its own length, and leaves zeros behind it. Attention has no bias here: softmax
# takes it out again.
_GRAPH = """
<ir_version: 9, opset_import: ["": 18, "com.microsoft": 1]>
sentiment (int64[B, T] ids, int64[B] lengths) => (float[B, L] logits) {
  ids_by_step = Transpose <perm = [1, 0]> (ids)                                       # (T, B)
  bytes = Gather (embedding, ids_by_step)                                             # (T, B, E)
  rounded = Cast <to = 1> (bytes)
  scale = Gather (embedding_scale, ids_by_step)                                       # (T, B, 1)
  vectors = Mul (rounded, scale)                                                      # (T, B, E)

  sizes = Cast <to = 6> (lengths)
  by_direction = com.microsoft.DynamicQuantizeLSTM
    <hidden_size = HIDDEN_SIZE, direction = "bidirectional"> (
      vectors, input_weights, recurrent_weights, lstm_bias, sizes, "", "", "",
      input_scale, input_zero, recurrent_scale, recurrent_zero)                       # (T, 2, B, H)
  by_text = Transpose <perm = [2, 0, 1, 3]> (by_direction)
  states = Reshape (by_text, states_shape)                                            # (B, T, 2H)

  longest = Shape <start = 1, end = 2> (ids)
  end = Squeeze (longest)
  steps = Range (zero, end, one)                                                      # (T)
  length = Unsqueeze (lengths, time)                                                  # (B, 1)
  real = Less (steps, length)                                                         # (B, T)
  mask = Unsqueeze (real, features)                                                   # (B, T, 1)

  scores = MatMul (states, attention)                                                 # (B, T, 1)
  real_scores = Where (mask, scores, minus_infinity)
  attention_weights = Softmax <axis = 1> (real_scores)
  weighted = Mul (states, attention_weights)
  attended = ReduceSum <keepdims = 0> (weighted, time)                                # (B, 2H)
  real_states = Where (mask, states, minus_infinity)
  highest = ReduceMax <keepdims = 0> (real_states, time)                              # (B, 2H)
  total = ReduceSum <keepdims = 0> (states, time)
  divisor = Cast <to = 1> (length)
  mean = Div (total, divisor)                                                         # (B, 2H)
  pooled = Concat <axis = 1> (attended, highest, mean)                                # (B, 6H)
  logits = Gemm <transB = 1> (pooled, output_weights, output_bias)                    # (B, L)
}
"""


def export(
    artifact: Artifact, splits: Sequence[tuple[SourceConfig, Sequence[Example]]]
) -> Artifact:
    """The artifact with its network in int8, and in its manifest how far that agrees with torch.

    Args:
        artifact: its weights are read; a network in int8 that it holds already is replaced.
        splits: texts to measure on.

    Raises:
        ExportError: fewer labels agree than ``MIN_AGREEMENT``, or more accuracy is lost than
            ``MAX_ACCURACY_LOSS``.
    """
    content = network_in_int8(artifact)
    exported = replace(artifact, onnx=lambda: content)
    reference = Classifier(artifact, TorchEngine(artifact))
    quantised = Classifier(artifact, OnnxEngine(exported))
    measured = {}
    for source, examples in splits:
        measured[source.name] = _compare(reference, quantised, source, examples)
        logger.info("%s: %s", source.name, measured[source.name])
    measured["all"] = _mean(measured.values())
    agreement, difference = (measured["all"][name] for name in ("agreement", "accuracy_difference"))
    if agreement < MIN_AGREEMENT or difference < -MAX_ACCURACY_LOSS:
        raise ExportError(
            f"in int8 {100 * agreement:.2f}% of the labels stay the same and accuracy changes by "
            f"{100 * difference:+.2f} points; at least {100 * MIN_AGREEMENT:g}% and "
            f"{-100 * MAX_ACCURACY_LOSS:+g} are asked for"
        )
    return replace(exported, manifest=artifact.manifest.model_copy(update={"onnx": measured}))


def _compare(
    reference: Classifier, quantised: Classifier, source: SourceConfig, examples: Sequence[Example]
) -> dict[str, float]:
    texts = [example.text for example in examples]
    expected, answered = (
        np.array([prediction.probabilities for prediction in classifier.predict(texts)])
        for classifier in (reference, quantised)
    )  # (texts, L)
    labels = np.array([example.label for example in examples])
    before, after = (
        float((predicted_labels(scores, source.two_classes) == labels).mean())
        for scores in (expected, answered)
    )
    return {
        "texts": len(texts),
        "agreement": float((expected.argmax(axis=1) == answered.argmax(axis=1)).mean()),
        "accuracy_difference": after - before,
        "largest_probability_difference": float(np.abs(expected - answered).max()),
    }


def _mean(measured: Iterable[dict[str, float]]) -> dict[str, float]:
    """Over all texts."""
    rows = list(measured)
    texts = [row["texts"] for row in rows]
    return {
        "texts": sum(texts),
        **{
            name: float(np.average([row[name] for row in rows], weights=texts))
            for name in ("agreement", "accuracy_difference")
        },
        "largest_probability_difference": max(
            row["largest_probability_difference"] for row in rows
        ),
    }


def network_in_int8(artifact: Artifact) -> bytes:
    """The content of ``model.int8.onnx``, whatever its answers are worth."""
    weights = {name: tensor.astype(np.float32) for name, tensor in artifact.weights.items()}
    embedding, embedding_scale = _to_int8(weights[EMBEDDING], EMBEDDING_MAX)
    (inputs, input_scale), (recurrent, recurrent_scale) = (
        _to_int8(_of_both_lstms(weights, name), LSTM_MAX)
        for name in ("weight_ih_l0", "weight_hh_l0")
    )
    lstm_bias = [_of_both_lstms(weights, name) for name in ("bias_ih_l0", "bias_hh_l0")]
    hidden_size = artifact.manifest.network.hidden_size
    constants: dict[str, NDArray[Any]] = {
        "embedding": embedding,  # (V, E)
        "embedding_scale": embedding_scale,  # (V, 1)
        "input_weights": inputs.swapaxes(1, 2),  # (2, E, 4H)
        "input_scale": input_scale[..., 0],  # (2, 4H)
        "input_zero": np.zeros_like(input_scale[..., 0], dtype=np.int8),
        "recurrent_weights": recurrent.swapaxes(1, 2),  # (2, H, 4H)
        "recurrent_scale": recurrent_scale[..., 0],  # (2, 4H)
        "recurrent_zero": np.zeros_like(recurrent_scale[..., 0], dtype=np.int8),
        "lstm_bias": np.concatenate(lstm_bias, axis=1),  # (2, 8H)
        "attention": weights["attention.weight"].T,  # (2H, 1)
        "output_weights": weights["output.weight"],  # (L, 6H)
        "output_bias": weights["output.bias"],
        "states_shape": np.array([0, 0, 2 * hidden_size]),  # 0 keeps a dimension
        "zero": np.array(0),
        "one": np.array(1),
        "time": np.array([1]),
        "features": np.array([2]),
        "minus_infinity": np.array(-np.inf, dtype=np.float32),
    }
    model = parser.parse_model(_GRAPH.replace("HIDDEN_SIZE", str(hidden_size)))
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in constants.items()
    )
    content: bytes = model.SerializeToString()
    return content


def _of_both_lstms(weights: Weights, name: str) -> NDArray[np.float32]:
    """(2, 4H, ...) of the forward and the backward LSTM, the gates in ONNX's order."""
    both = np.stack([weights[f"reader.{way}_lstm.{name}"] for way in ("forward", "backward")])
    # torch: input, forget, cell, output.
    entry, forget, cell, output = np.split(both, 4, axis=1)
    return np.concatenate([entry, output, forget, cell], axis=1)


def _to_int8(
    values: NDArray[np.float32], most: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Values in ``-most`` to ``most``, and what to multiply them by; one scale a row."""
    largest = np.abs(values).max(axis=-1, keepdims=True)
    scale = np.where(largest > 0, largest / most, 1).astype(np.float32)
    return np.round(values / scale).astype(np.int8), scale
