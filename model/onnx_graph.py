"""The network as an ONNX graph, built from the tensors of an artifact.

An ONNX file is a program: it may name other files, loop without end or ask for any amount of
memory. An artifact therefore holds tensors only, and the graph is this one, whatever the artifact.

Serving does not need the ``onnx`` package for it: a graph is a protocol buffer, and the few fields
used here are written below.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_IR_VERSION: Final = 9
_OPSETS: Final = {"": 18, "com.microsoft": 1}

# Of onnx.proto: TensorProto.DataType, and AttributeProto.AttributeType by Python type.
_FLOAT, _INT8, _INT32, _INT64 = 1, 3, 6, 7
_DATA_TYPES: Final = {np.dtype("<f4"): _FLOAT, np.dtype("i1"): _INT8, np.dtype("<i8"): _INT64}
_INT, _STRING, _INTS = 2, 3, 7


def build_graph(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the serialised ONNX model that computes logits from these tensors.

    Its inputs are ``ids`` (B, T) and ``lengths`` (B,), both int64; its output is ``logits`` (B, L)
    in float32.

    Args:
        tensors: as ``network_shapes.int8_tensors`` describes them.
    """
    zero_points = np.zeros_like(tensors["input_scale"], dtype=np.int8)
    hidden_size = zero_points.shape[1] // 4
    initializers = {
        "embedding": tensors["embedding"],
        "embedding_scale": tensors["embedding_scale"],
        "input_weights": tensors["input_weights"],
        "input_scale": tensors["input_scale"],
        "input_zero": zero_points,
        "recurrent_weights": tensors["recurrent_weights"],
        "recurrent_scale": tensors["recurrent_scale"],
        "recurrent_zero": zero_points,
        "lstm_bias": tensors["lstm_bias"],
        "attention": tensors["attention"],
        "output_weights": tensors["output_weights"],
        "output_bias": tensors["output_bias"],
        "states_shape": np.array([0, 0, 2 * hidden_size]),  # 0 keeps a dimension
        "zero": np.array([0]),
        "one": np.array([1]),
        "time": np.array([1]),
        "features": np.array([2]),
        "minus_infinity": np.array([-np.inf], np.float32),
    }
    graph = _message(
        *(_field(1, node) for node in _nodes(hidden_size)),
        _field(2, "sentiment"),
        *(_field(5, _tensor(name, value)) for name, value in initializers.items()),
        _field(11, _value("ids", _INT64, "BT")),
        _field(11, _value("lengths", _INT64, "B")),
        _field(12, _value("logits", _FLOAT, "BL")),
    )
    opsets = [_message(_field(1, domain), _field(2, n)) for domain, n in _OPSETS.items()]
    return _message(_field(1, _IR_VERSION), _field(7, graph), *(_field(8, each) for each in opsets))


def _nodes(hidden_size: int) -> list[bytes]:
    """Return the nodes in the order they run in; letters as in ``model.network``.

    Given the lengths, the LSTM skips padding, reverses each text inside its own length, and leaves
    zeros after it. Attention has no bias here, since softmax cancels it.
    """
    lstm_inputs = (
        "vectors input_weights recurrent_weights lstm_bias sizes - - - "
        "input_scale input_zero recurrent_scale recurrent_zero"
    )
    return [
        _node("Transpose", "ids", "ids_by_step", perm=[1, 0]),  # (T, B)
        _node("Gather", "embedding ids_by_step", "bytes"),  # (T, B, E)
        _node("Cast", "bytes", "rounded", to=_FLOAT),
        _node("Gather", "embedding_scale ids_by_step", "scale"),  # (T, B, 1)
        _node("Mul", "rounded scale", "vectors"),  # (T, B, E)
        _node("Cast", "lengths", "sizes", to=_INT32),
        _node(
            "DynamicQuantizeLSTM",
            lstm_inputs,
            "by_direction",
            domain="com.microsoft",
            hidden_size=hidden_size,
            direction="bidirectional",
        ),  # (T, 2, B, H)
        _node("Transpose", "by_direction", "by_text", perm=[2, 0, 1, 3]),
        _node("Reshape", "by_text states_shape", "states"),  # (B, T, 2H)
        _node("Shape", "ids", "longest", start=1, end=2),
        _node("Squeeze", "longest", "end"),
        _node("Range", "zero end one", "steps"),  # (T,)
        _node("Unsqueeze", "lengths time", "length"),  # (B, 1)
        _node("Less", "steps length", "real"),  # (B, T)
        _node("Unsqueeze", "real features", "mask"),  # (B, T, 1)
        _node("MatMul", "states attention", "scores"),  # (B, T, 1)
        _node("Where", "mask scores minus_infinity", "real_scores"),
        _node("Softmax", "real_scores", "attention_weights", axis=1),
        _node("Mul", "states attention_weights", "weighted"),
        _node("ReduceSum", "weighted time", "attended", keepdims=0),  # (B, 2H)
        _node("Where", "mask states minus_infinity", "real_states"),
        _node("ReduceMax", "real_states time", "highest", keepdims=0),  # (B, 2H)
        _node("ReduceSum", "states time", "total", keepdims=0),
        _node("Cast", "length", "divisor", to=_FLOAT),
        _node("Div", "total divisor", "mean"),  # (B, 2H)
        _node("Concat", "attended highest mean", "pooled", axis=1),  # (B, 6H)
        _node("Gemm", "pooled output_weights output_bias", "logits", transB=1),  # (B, L)
    ]


def _node(
    operator: str, inputs: str, output: str, domain: str = "", **attributes: int | str | list[int]
) -> bytes:
    """Return a NodeProto; ``inputs`` are names between spaces, of which ``-`` is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return _message(
        *(_field(1, name) for name in names),
        _field(2, output),
        _field(4, operator),
        *(_field(5, _attribute(name, value)) for name, value in attributes.items()),
        _field(7, domain),
    )


def _attribute(name: str, value: int | str | list[int]) -> bytes:
    match value:
        case int():
            content, kind = [_field(3, value)], _INT
        case str():
            content, kind = [_field(4, value)], _STRING
        case _:
            content, kind = [_field(8, each) for each in value], _INTS
    return _message(_field(1, name), *content, _field(20, kind))


def _tensor(name: str, values: NDArray[Any]) -> bytes:
    return _message(
        *(_field(1, length) for length in values.shape),
        _field(2, _DATA_TYPES[values.dtype]),
        _field(8, name),
        _field(9, values.tobytes()),
    )


def _value(name: str, data_type: int, dimensions: Iterable[str]) -> bytes:
    """Return a ValueInfoProto: a tensor with one named dimension per letter."""
    shape = _message(*(_field(1, _field(2, letter)) for letter in dimensions))
    return _message(
        _field(1, name), _field(2, _field(1, _message(_field(1, data_type), _field(2, shape))))
    )


def _message(*fields: bytes) -> bytes:
    return b"".join(fields)


def _field(number: int, value: int | str | bytes) -> bytes:
    """Return a field of a protocol buffer: its number and wire type, then its value."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return a natural number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)
