"""An encoder of BERT-base's size under ONNX Runtime, with our endpoints.

Its weights are random: speed does not depend on them, and nothing is claimed about accuracy. The
graph is the one that ONNX Runtime's own optimizer makes of BERT: attention, layer normalisation and
activation are one operator each. The first start builds it in the temporary folder.

    python -m bench.serving.systems.bert PORT [int8]
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.serving.systems._app import app_around, run, sentiment
from model.config import LABELS
from service.schemas import ModelVersion, Sentiment

# ONNX Runtime's telemetry must be disabled before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

LAYERS, HIDDEN, HEADS, INTERMEDIATE = 12, 768, 12, 3072
VOCABULARY, MAX_IDS = 21_128, 512
CLASSIFY, SEPARATE, FIRST_CHARACTER = 101, 102, 106  # ids, as bert-base-chinese has them


def build(path: Path) -> None:
    """Write the network with random weights."""
    from onnx import TensorProto, helper, numpy_helper, save

    random = np.random.default_rng(0)
    tensors, nodes = [], []

    def weight(name: str, *shape: int) -> str:
        values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        tensors.append(numpy_helper.from_array(values, name))
        return name

    def normalisation(name: str) -> list[str]:
        tensors.append(numpy_helper.from_array(np.ones(HIDDEN, np.float32), f"{name}.scale"))
        return [f"{name}.scale", weight(f"{name}.shift", HIDDEN)]

    def add(operator: str, inputs: list[str], output: str, **attributes: int) -> str:
        domain = "" if operator in {"MatMul", "Gather", "Gemm", "Tanh"} else "com.microsoft"
        node = helper.make_node(operator, inputs, [output], f"{output}.{operator}", domain=domain)
        node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())
        nodes.append(node)
        return output

    nodes.append(
        helper.make_node(
            "EmbedLayerNormalization",
            [
                "ids",
                "segments",
                weight("words", VOCABULARY, HIDDEN),
                weight("positions", MAX_IDS, HIDDEN),
                weight("kinds", 2, HIDDEN),
                *normalisation("embedded"),
                "mask",
            ],
            ["states", "lengths"],
            "embed",
            domain="com.microsoft",
        )
    )
    states = "states"
    for layer in range(LAYERS):
        queries = [weight(f"{layer}.qkv", HIDDEN, 3 * HIDDEN), weight(f"{layer}.qkv.b", 3 * HIDDEN)]
        attended = add(
            "Attention", [states, *queries, "lengths"], f"{layer}.attended", num_heads=HEADS
        )
        mixed = add("MatMul", [attended, weight(f"{layer}.mix", HIDDEN, HIDDEN)], f"{layer}.mixed")
        states = add(
            "SkipLayerNormalization",
            [mixed, states, *normalisation(f"{layer}.first"), weight(f"{layer}.mix.b", HIDDEN)],
            f"{layer}.middle",
        )
        wide = add(
            "MatMul", [states, weight(f"{layer}.widen", HIDDEN, INTERMEDIATE)], f"{layer}.wide"
        )
        active = add(
            "BiasGelu", [wide, weight(f"{layer}.widen.b", INTERMEDIATE)], f"{layer}.active"
        )
        narrow = add(
            "MatMul", [active, weight(f"{layer}.narrow", INTERMEDIATE, HIDDEN)], f"{layer}.narrowed"
        )
        states = add(
            "SkipLayerNormalization",
            [narrow, states, *normalisation(f"{layer}.last"), weight(f"{layer}.narrow.b", HIDDEN)],
            f"{layer}.states",
        )
    tensors.append(numpy_helper.from_array(np.array(0, np.int64), "first"))
    first = add("Gather", [states, "first"], "first_state", axis=1)
    dense = add("Gemm", [first, weight("pool", HIDDEN, HIDDEN), weight("pool.b", HIDDEN)], "dense")
    pooled = add("Tanh", [dense], "pooled")
    add(
        "Gemm",
        [pooled, weight("output", HIDDEN, len(LABELS)), weight("output.b", len(LABELS))],
        "logits",
    )
    graph = helper.make_graph(
        nodes,
        "bert",
        [
            helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "ids"])
            for name in ("ids", "segments", "mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", len(LABELS)])],
        tensors,
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)


def network_file(precision: str) -> Path:
    """Return the file of the network in ``fp32`` or ``int8``; build it if it is missing."""
    path = Path(tempfile.gettempdir()) / f"bert.{precision}.onnx"
    if path.exists():
        return path
    unfinished = path.with_suffix(".unfinished")
    if precision == "int8":
        import onnx
        from onnxruntime.quantization import quantize_dynamic

        # It cannot infer types after the fused operators by itself.
        known = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize_dynamic(network_file("fp32"), unfinished, extra_options=known)
    else:
        build(unfinished)
    return unfinished.rename(path)


session = onnxruntime.InferenceSession(
    network_file(sys.argv[2] if len(sys.argv) > 2 else "fp32"), providers=["CPUExecutionProvider"]
)


def to_ids(text: str) -> list[int]:
    """Return one id per character, at most ``MAX_IDS`` with the marks around them."""
    characters = [
        FIRST_CHARACTER + ord(character) % (VOCABULARY - FIRST_CHARACTER)
        for character in text
        if not character.isspace()
    ]
    return [CLASSIFY, *characters[: MAX_IDS - 2], SEPARATE]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities (texts, labels)."""
    exponentials: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def classify(texts: list[str]) -> list[Sentiment]:
    """Return the answers for texts, run as one padded batch."""
    sequences = [to_ids(text) for text in texts]
    ids = np.zeros((len(texts), max(map(len, sequences))), np.int32)
    mask = np.zeros_like(ids)
    for index, sequence in enumerate(sequences):
        ids[index, : len(sequence)] = sequence
        mask[index, : len(sequence)] = 1
    inputs = {"ids": ids, "segments": np.zeros_like(ids), "mask": mask}
    probabilities = softmax(session.run(None, inputs)[0])
    return [
        sentiment(row, text, tokens=len(sequence) - 2, uncertain=True)
        for text, sequence, row in zip(texts, sequences, probabilities.tolist(), strict=True)
    ]


if __name__ == "__main__":
    run(app_around(classify, ModelVersion(name="BERT-base", version="1.0.0", digest="0" * 64)))
