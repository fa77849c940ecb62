"""The shipped network in the forms that other engines read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from model.artifact import Artifact
from model.engines import onnx_model
from model.network_shapes import EMBEDDING

Array = NDArray[Any]

# ONNX has an LSTM's gates as input, output, forget and cell; ncnn wants these of them in turn.
_NCNN_GATES = (0, 2, 1, 3)
_NCNN_FLOAT32, _NCNN_INT8 = 0, 0x000D4B38  # how ncnn's files mark the type of weights


def write(artifact: Artifact, ids: Sequence[Sequence[int]], directory: Path) -> None:
    """Puts the ids of the longest and largest run, and all networks, into a directory."""
    tensors = artifact.int8_weights
    assert tensors is not None
    graph = onnx_model(artifact)
    np.save(directory / "ids.npy", np.array(ids))
    (directory / "shipped.onnx").write_bytes(graph)
    (directory / "separate.onnx").write_bytes(separate_operators(graph).SerializeToString())
    np.savez(directory / "int8.npz", allow_pickle=False, **tensors)
    np.savez(directory / "float32.npz", allow_pickle=False, **torch_state(artifact.weights))
    for precision in ("float32", "int8"):
        write_ncnn(tensors, precision, directory)


def torch_state(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The float32 weights as one LSTM of two directions names them."""
    names = {"reader.forward_lstm.": ("lstm.", ""), "reader.backward_lstm.": ("lstm.", "_reverse")}
    found = {"embedding.weight": weights[EMBEDDING].astype(np.float32)}
    for name, tensor in weights.items():
        if name == EMBEDDING:
            continue
        new = name
        for old, (start, end) in names.items():
            if name.startswith(old):
                new = start + name.removeprefix(old) + end
        found[new] = tensor.astype(np.float32)
    return found


def write_ncnn(tensors: Mapping[str, Array], precision: str, directory: Path) -> None:
    """Writes the two files of ncnn's LSTM: the int8 weights as they are, or times their scale."""
    _, size, width = tensors["input_weights"].shape
    hidden = width // 4
    int8 = precision == "int8"
    parameters = f"0={hidden} 1={2 * size * width} 2=2" + (" 8=2" if int8 else "")
    (directory / f"{precision}.param").write_text(
        f"7767517\n2 2\nInput vectors 0 1 vectors\nLSTM lstm 1 1 vectors states {parameters}\n",
        encoding="ascii",
    )
    bias = _bias(tensors)
    with (directory / f"{precision}.bin").open("wb") as file:
        for part in ("input", "recurrent"):
            weights, scale = tensors[f"{part}_weights"], tensors[f"{part}_scale"]
            if not int8:
                weights = weights * scale[:, None]
            file.write(np.uint32(_NCNN_INT8 if int8 else _NCNN_FLOAT32).tobytes())
            file.write(_ncnn_gates(weights.transpose(0, 2, 1)).tobytes())
            if part == "input":
                file.write(np.uint32(_NCNN_FLOAT32).tobytes())
                file.write(_ncnn_gates(bias).tobytes())
        if int8:
            for part in ("input", "recurrent"):  # what a float value is multiplied by
                file.write(_ncnn_gates(1 / tensors[f"{part}_scale"]).tobytes())


def _bias(tensors: Mapping[str, Array]) -> Array:
    """The biases of inputs and states in one, (2, 4H)."""
    of_both: Array = tensors["lstm_bias"]
    in_one: Array = of_both.reshape(2, 2, -1).sum(axis=1)
    return in_one


def _ncnn_gates(values: Array) -> Array:
    """Values of (2, 4H, ...) with the gates in ncnn's order."""
    by_gate = values.reshape(2, 4, -1)
    return np.ascontiguousarray(by_gate[:, _NCNN_GATES])


def separate_operators(graph: bytes) -> ModelProto:
    """The shipped graph with its LSTM as a product, sigmoids and so on, a step at a time.

    For rows of one length: its backward direction starts at the end of the longest.
    """
    model = onnx.load_from_string(graph)
    tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    place, lstm = next(
        (place, node)
        for place, node in enumerate(model.graph.node)
        if node.op_type == "DynamicQuantizeLSTM"
    )
    hidden = tensors["recurrent_weights"].shape[1]
    constants = {
        "direction": np.array([1]),
        "hidden": np.array([hidden]),
        "split": np.full(4, hidden),
    }
    bias = _bias(tensors)
    nodes = [
        helper.make_node("Shape", ["ids"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "hidden"], ["state_shape"], axis=0),
        helper.make_node("ConstantOfShape", ["state_shape"], ["start"]),
        helper.make_node("DynamicQuantizeLinear", ["vectors"], ["x", "x_scale", "x_zero"]),
    ]
    for side, name in enumerate(("forward", "backward")):
        for tensor in ("input_weights", "input_scale", "recurrent_weights", "recurrent_scale"):
            constants[f"{name}_{tensor}"] = tensors[tensor][side]
        constants[f"{name}_bias"] = bias[side]
        nodes += _direction(name, hidden, reverse=side)
    nodes.append(
        helper.make_node("Concat", ["forward", "backward"], list(lstm.output), axis=1)
    )  # (T, 2, B, H)
    before, after = model.graph.node[:place], model.graph.node[place + 1 :]
    kept = [each for each in model.graph.initializer if each.name not in set(lstm.input[1:])]
    added = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend([*before, *nodes, *after])
    model.graph.initializer.extend([*kept, *added])
    return model


def _direction(name: str, hidden: int, reverse: int) -> list[NodeProto]:
    """One direction: the products of all inputs at once, then the steps; (T, 1, B, H)."""
    return [
        *_product(f"{name}_input", "x", f"{name}_input_weights", f"{name}_input_scale"),
        helper.make_node("Add", [f"{name}_input", f"{name}_bias"], [f"{name}_inputs"]),
        helper.make_node(
            "Scan",
            ["start", "start", f"{name}_inputs"],
            [f"{name}_last", f"{name}_cell", f"{name}_states"],
            body=_step(name, hidden),
            num_scan_inputs=1,
            scan_input_directions=[reverse],
            scan_output_directions=[reverse],
        ),
        helper.make_node("Unsqueeze", [f"{name}_states", "direction"], [name]),
    ]


def _product(output: str, values: str, weights: str, scale: str) -> list[NodeProto]:
    """Quantised values times int8 weights, in float32."""
    sums, floats, scales = (f"{output}_{part}" for part in ("sums", "floats", "scales"))
    return [
        helper.make_node("MatMulInteger", [values, weights, f"{values}_zero"], [sums]),
        helper.make_node("Cast", [sums], [floats], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{values}_scale", scale], [scales]),
        helper.make_node("Mul", [floats, scales], [output]),
    ]


def _step(name: str, hidden: int) -> GraphProto:
    """The body of the loop: state, cell and the inputs' products to state, cell and output."""

    def value(called: str, width: int) -> Any:
        return helper.make_tensor_value_info(called, TensorProto.FLOAT, ["B", width])

    def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
        return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)

    nodes = [
        node("DynamicQuantizeLinear", "state", "h h_scale h_zero"),
        *_product("product", "h", f"{name}_recurrent_weights", f"{name}_recurrent_scale"),
        node("Add", "product input", "gates"),
        node("Split", "gates split", "i_sum o_sum f_sum g_sum", axis=1),
        *(node("Sigmoid", f"{gate}_sum", gate) for gate in "iof"),
        node("Tanh", "g_sum", "g"),
        node("Mul", "f cell", "kept"),
        node("Mul", "i g", "added"),
        node("Add", "kept added", "new_cell"),
        node("Tanh", "new_cell", "shown"),
        node("Mul", "o shown", "new_state"),
        node("Identity", "new_state", "output"),
    ]
    return helper.make_graph(
        nodes,
        f"{name}_step",
        [value("state", hidden), value("cell", hidden), value("input", 4 * hidden)],
        [value("new_state", hidden), value("new_cell", hidden), value("output", hidden)],
    )
