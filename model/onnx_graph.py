"""The ONNX file of an artifact: the graph that ``export`` writes, and that graph alone.

An ONNX file is a program: it may name other files, loop without end or ask for any amount of
memory. So nothing of it is taken on trust. Its graph is compared with the one known here, and its
constants with the sizes in the manifest; ONNX Runtime sees it only after that.
"""

import hashlib
import math
from functools import cache
from typing import Any, Final

import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from model.config import LABELS, NetworkConfig

# SHA-256 of the graph without its constants, its hidden size as 0.
_KNOWN_GRAPH: Final = "ac3246ca001d3530b3ae2dc8cef451c091bf9d35f4274a166f638ee4312e9632"

# The largest values in int8 that the exporter gives the embedding and the LSTM's matrices.
EMBEDDING_MAX: Final = 127
LSTM_MAX: Final = 64

# What weights in half precision can be, and what the largest scale of such weights in int8 is.
# Within these no sum overflows, whatever the text: a finite network gives finite answers.
_LARGEST = np.finfo(np.float16).max.astype(np.float32)
_LARGEST_SCALE = _LARGEST / np.float32(LSTM_MAX)

_FLOAT, _INT8, _INT64 = (np.dtype(name) for name in ("<f4", "i1", "<i8"))
_DATA_TYPES: Final = {1: _FLOAT, 3: _INT8, 7: _INT64}

_MESSAGE = FieldDescriptorProto.TYPE_MESSAGE
_TYPES: Final = {"int64": FieldDescriptorProto.TYPE_INT64, "bytes": FieldDescriptorProto.TYPE_BYTES}
_LABELS: Final = {
    "optional": FieldDescriptorProto.LABEL_OPTIONAL,
    "repeated": FieldDescriptorProto.LABEL_REPEATED,
}

# The part of ONNX's onnx.proto that the graph needs: of each field its number, its type, and
# whether it comes once or many times. What a file holds beside these is refused.
_MESSAGES: Final = {
    "Model": {
        "ir_version": (1, "int64", "optional"),
        "graph": (7, "Graph", "optional"),
        "opset_import": (8, "OperatorSet", "repeated"),
    },
    "OperatorSet": {
        "domain": (1, "bytes", "optional"),
        "version": (2, "int64", "optional"),
    },
    "Graph": {
        "node": (1, "Node", "repeated"),
        "name": (2, "bytes", "optional"),
        "initializer": (5, "Tensor", "repeated"),
        "input": (11, "Value", "repeated"),
        "output": (12, "Value", "repeated"),
    },
    "Node": {
        "input": (1, "bytes", "repeated"),
        "output": (2, "bytes", "repeated"),
        "op_type": (4, "bytes", "optional"),
        "attribute": (5, "Attribute", "repeated"),
        "domain": (7, "bytes", "optional"),
    },
    "Attribute": {
        "name": (1, "bytes", "optional"),
        "i": (3, "int64", "optional"),
        "s": (4, "bytes", "optional"),
        "ints": (8, "int64", "repeated"),
        "type": (20, "int64", "optional"),
    },
    "Tensor": {
        "dims": (1, "int64", "repeated"),
        "data_type": (2, "int64", "optional"),
        "name": (8, "bytes", "optional"),
        "raw_data": (9, "bytes", "optional"),
    },
    # Of a value's type only whether it is the known one matters.
    "Value": {
        "name": (1, "bytes", "optional"),
        "type": (2, "bytes", "optional"),
    },
}


def check_graph(content: bytes, vocabulary_size: int, config: NetworkConfig) -> None:
    """Returns if an ONNX file is the network of these sizes, all of its numbers finite.

    Raises:
        ValueError: says in a clause what is wrong.
    """
    if graph_digest(content, config) != _KNOWN_GRAPH:
        raise ValueError("its graph is not the one that sentiment export writes")
    stored = _parse(content).graph.initializer
    shapes = _shapes(vocabulary_size, config)
    fixed = _fixed(config)
    if sorted(tensor.name for tensor in stored) != sorted(shapes.keys() | fixed.keys()):
        raise ValueError("its constants are not those of the network")
    for tensor in stored:
        values = fixed.get(tensor.name)
        data_type, shape = shapes[tensor.name] if values is None else (values.dtype, values.shape)
        _check_constant(tensor, data_type, shape)
        if values is not None and tensor.raw_data != values.tobytes():
            raise ValueError(f"{tensor.name.decode()} has another value")


def graph_digest(content: bytes, config: NetworkConfig) -> str:
    """SHA-256 of the graph in an ONNX file: without its constants, its hidden size replaced.

    Raises:
        ValueError: it is not ONNX, or holds more than a graph like ours needs.
    """
    model = _parse(content)
    model.DiscardUnknownFields()
    if model.SerializeToString(deterministic=True) != content:
        raise ValueError("it holds more than the graph that sentiment export writes")
    model.graph.ClearField("initializer")
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == b"hidden_size":
                attribute.i = int(attribute.i != config.hidden_size)
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def _shapes(
    vocabulary_size: int, config: NetworkConfig
) -> dict[bytes, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Type and shape of the constants that training decides."""
    size, hidden, labels = config.embedding_size, config.hidden_size, len(LABELS)
    return {
        b"embedding": (_INT8, (vocabulary_size, size)),
        b"embedding_scale": (_FLOAT, (vocabulary_size, 1)),
        b"input_weights": (_INT8, (2, size, 4 * hidden)),
        b"input_scale": (_FLOAT, (2, 4 * hidden)),
        b"recurrent_weights": (_INT8, (2, hidden, 4 * hidden)),
        b"recurrent_scale": (_FLOAT, (2, 4 * hidden)),
        b"lstm_bias": (_FLOAT, (2, 8 * hidden)),
        b"attention": (_FLOAT, (2 * hidden, 1)),
        b"output_weights": (_FLOAT, (labels, 6 * hidden)),
        b"output_bias": (_FLOAT, (labels,)),
    }


def _fixed(config: NetworkConfig) -> dict[bytes, NDArray[Any]]:
    """The constants that are the same for every network of these sizes."""
    zero_points = np.zeros((2, 4 * config.hidden_size), _INT8)
    return {
        b"input_zero": zero_points,
        b"recurrent_zero": zero_points,
        b"states_shape": np.array([0, 0, 2 * config.hidden_size], _INT64),
        b"zero": np.array([0], _INT64),
        b"one": np.array([1], _INT64),
        b"time": np.array([1], _INT64),
        b"features": np.array([2], _INT64),
        b"minus_infinity": np.array([-np.inf], _FLOAT),
    }


def _check_constant(tensor: Any, data_type: np.dtype[Any], shape: tuple[int, ...]) -> None:
    name = tensor.name.decode()
    if (
        _DATA_TYPES.get(tensor.data_type) != data_type
        or tuple(tensor.dims) != shape
        or len(tensor.raw_data) != data_type.itemsize * math.prod(shape)
    ):
        raise ValueError(
            f"{name} is not of the type and shape that the manifest and vocab.txt ask for"
        )
    if name == "minus_infinity" or data_type != _FLOAT:
        return
    values = np.frombuffer(tensor.raw_data, data_type)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds values that are not finite")
    lowest, highest = (0, _LARGEST_SCALE) if name.endswith("_scale") else (-_LARGEST, _LARGEST)
    if values.min() < lowest or values.max() > highest:
        raise ValueError(f"{name} holds values that no weight in half precision has")


def _parse(content: bytes) -> Any:
    model = _model_class()()
    try:
        model.ParseFromString(content)
    except DecodeError:
        raise ValueError("it is not ONNX") from None
    return model


@cache
def _model_class() -> Any:
    """The class of ONNX's messages, from ``_MESSAGES``."""
    file = FileDescriptorProto(name="graph.proto", package="graph")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, label) in fields.items():
            field = described.field.add(
                name=name, number=number, label=_LABELS[label], type=_TYPES.get(kind, _MESSAGE)
            )
            if kind in _MESSAGES:
                field.type_name = f".graph.{kind}"
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("graph.Model"))
