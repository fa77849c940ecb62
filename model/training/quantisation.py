"""Quantisation of trained weights to int8.

Every row of the embedding and every column of the LSTM matrices is scaled to int8 by its own
largest value; activations are scaled at run time, by the largest value of the batch (dynamic
quantisation). Attention, pooling and the linear layer stay in float32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact import Weights
from model.network_shapes import EMBEDDING, MAX_EMBEDDING, MAX_LSTM


def quantise(weights: Weights) -> Weights:
    """Return the tensors that ``network_shapes.int8_tensors`` describes, from float16 weights."""
    values = {name: tensor.astype(np.float32) for name, tensor in weights.items()}
    embedding, embedding_scale = _to_int8(values[EMBEDDING], MAX_EMBEDDING)
    (inputs, input_scale), (recurrent, recurrent_scale) = (
        _to_int8(_both_directions(values, name), MAX_LSTM)
        for name in ("weight_ih_l0", "weight_hh_l0")
    )
    biases = [_both_directions(values, name) for name in ("bias_ih_l0", "bias_hh_l0")]
    tensors: dict[str, NDArray[Any]] = {
        "embedding": embedding,  # (V, E)
        "embedding_scale": embedding_scale,  # (V, 1)
        "input_weights": inputs.swapaxes(1, 2),  # (2, E, 4H)
        "input_scale": input_scale[..., 0],  # (2, 4H)
        "recurrent_weights": recurrent.swapaxes(1, 2),  # (2, H, 4H)
        "recurrent_scale": recurrent_scale[..., 0],  # (2, 4H)
        "lstm_bias": np.concatenate(biases, axis=1),  # (2, 8H)
        "attention": values["attention.weight"].T,  # (2H, 1)
        "output_weights": values["output.weight"],  # (L, 6H)
        "output_bias": values["output.bias"],  # (L,)
    }
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _both_directions(weights: Weights, name: str) -> NDArray[np.float32]:
    """Return (2, 4H, ...) of the forward and the backward LSTM, the gates in ONNX's order."""
    both = np.stack([weights[f"reader.{way}_lstm.{name}"] for way in ("forward", "backward")])
    # PyTorch's order is input, forget, cell, output; ONNX's is input, output, forget, cell.
    entry, forget, cell, output = np.split(both, 4, axis=1)
    return np.concatenate([entry, output, forget, cell], axis=1)


def _to_int8(
    values: NDArray[np.float32], maximum: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return values in ``-maximum`` to ``maximum``, and the scale of each row to multiply by."""
    largest = np.abs(values).max(axis=-1, keepdims=True)
    scale = np.where(largest > 0, largest / maximum, 1).astype(np.float32)
    return np.round(values / scale).astype(np.int8), scale
