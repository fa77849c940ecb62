"""The tensors that make up a network: their names, types, shapes and limits, stated once.

An artifact's files are checked against these, and export and the ONNX graph follow them. The
PyTorch network (``model.network``) must have the same shapes; a test compares the two.

Letters in the shapes: V words, E embedding size, H hidden size, L labels.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from model.config import LABELS, NetworkConfig

EMBEDDING: Final = "reader.embedding.weight"

# Largest int8 values of the embedding and of the LSTM matrices. x86 without VNNI adds two products
# of uint8 and int8 in 16 bits: 2 * 255 * 64 fits, 2 * 255 * 127 would saturate.
MAX_EMBEDDING: Final = 127
MAX_LSTM: Final = 64

# Float32 values are limited to what float16 weights can become. Within these limits no sum
# overflows, whatever the text: finite weights give finite logits.
_MAX_WEIGHT: Final = float(np.finfo(np.float16).max)
_MAX_SCALE: Final = _MAX_WEIGHT / MAX_LSTM

_FLOAT16, _FLOAT32, _INT8 = (np.dtype(name) for name in ("<f2", "<f4", "i1"))


class TensorSpec(NamedTuple):
    """What a tensor must be: every value is finite, and within ``limits`` where there are any."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    limits: tuple[float, float] | None = None


def float16_tensors(vocabulary_size: int, config: NetworkConfig) -> dict[str, TensorSpec]:
    """Return the weights by name, as PyTorch names and lays them out."""
    size, hidden, labels = config.embedding_size, config.hidden_size, len(LABELS)
    lstm = {
        "weight_ih_l0": (4 * hidden, size),
        "weight_hh_l0": (4 * hidden, hidden),
        "bias_ih_l0": (4 * hidden,),
        "bias_hh_l0": (4 * hidden,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        EMBEDDING: (vocabulary_size, size),
        **{f"reader.forward_lstm.{name}": shape for name, shape in lstm.items()},
        **{f"reader.backward_lstm.{name}": shape for name, shape in lstm.items()},
        "attention.weight": (1, 2 * hidden),
        "attention.bias": (1,),
        "output.weight": (labels, 6 * hidden),
        "output.bias": (labels,),
    }
    return {name: TensorSpec(_FLOAT16, shape) for name, shape in shapes.items()}


def int8_tensors(vocabulary_size: int, config: NetworkConfig) -> dict[str, TensorSpec]:
    """Return the tensors of the int8 network by name, as ONNX Runtime's LSTM lays them out.

    Axes of length 2 are the two directions, forward first; the 4H are input, output, forget and
    cell, in this order. A scale is what int8 values are multiplied by; the embedding has one per
    word, an LSTM matrix one per column.
    """
    size, hidden, labels = config.embedding_size, config.hidden_size, len(LABELS)

    def int8(limit: int, *shape: int) -> TensorSpec:
        return TensorSpec(_INT8, shape, (-limit, limit))

    def scale(*shape: int) -> TensorSpec:
        return TensorSpec(_FLOAT32, shape, (0, _MAX_SCALE))

    def float32(*shape: int) -> TensorSpec:
        return TensorSpec(_FLOAT32, shape, (-_MAX_WEIGHT, _MAX_WEIGHT))

    return {
        "embedding": int8(MAX_EMBEDDING, vocabulary_size, size),
        "embedding_scale": scale(vocabulary_size, 1),
        "input_weights": int8(MAX_LSTM, 2, size, 4 * hidden),
        "input_scale": scale(2, 4 * hidden),
        "recurrent_weights": int8(MAX_LSTM, 2, hidden, 4 * hidden),
        "recurrent_scale": scale(2, 4 * hidden),
        "lstm_bias": float32(2, 8 * hidden),
        "attention": float32(2 * hidden, 1),
        "output_weights": float32(labels, 6 * hidden),
        "output_bias": float32(labels),
    }
