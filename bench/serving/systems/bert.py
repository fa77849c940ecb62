"""Encoders of BERT's kind and of several sizes under ONNX Runtime, with our endpoints.

Their weights are random: speed does not depend on them, and nothing is claimed about accuracy. The
graph is the one that ONNX Runtime's own optimizer makes of BERT: attention, layer normalisation and
activation are one operator each. Texts become ids as BertTokenizerFast makes them, by the library
beneath it, with a vocabulary as long as that of bert-base-chinese. The first start builds the
network in the temporary folder.

    python -m bench.serving.systems.bert PORT base|12x384|4x512 fp32|int8
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

from bench.serving.systems._app import app_around, run, sentiment
from model.config import LABELS
from model.engines import available_cpus
from service.schemas import ModelVersion, Sentiment

# ONNX Runtime's telemetry must be disabled before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

VOCABULARY, MAX_IDS = 21_128, 512


@dataclass(frozen=True)
class Size:
    """Layers, features of a state, attention heads, and features between a layer's two products."""

    layers: int
    hidden: int
    heads: int
    intermediate: int


SIZES = {
    "base": Size(12, 768, 12, 3072),
    "12x384": Size(12, 384, 12, 1536),
    "4x512": Size(4, 512, 8, 2048),
}


def build(size: Size, path: Path) -> None:
    """Write the network with random weights."""
    from onnx import TensorProto, helper, numpy_helper, save

    random = np.random.default_rng(0)
    hidden, intermediate = size.hidden, size.intermediate
    tensors, nodes = [], []

    def weight(name: str, *shape: int) -> str:
        values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        tensors.append(numpy_helper.from_array(values, name))
        return name

    def normalisation(name: str) -> list[str]:
        tensors.append(numpy_helper.from_array(np.ones(hidden, np.float32), f"{name}.scale"))
        return [f"{name}.scale", weight(f"{name}.shift", hidden)]

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
                weight("words", VOCABULARY, hidden),
                weight("positions", MAX_IDS, hidden),
                weight("kinds", 2, hidden),
                *normalisation("embedded"),
                "mask",
            ],
            ["states", "lengths"],
            "embed",
            domain="com.microsoft",
        )
    )
    states = "states"
    for layer in range(size.layers):
        queries = [weight(f"{layer}.qkv", hidden, 3 * hidden), weight(f"{layer}.qkv.b", 3 * hidden)]
        attended = add(
            "Attention", [states, *queries, "lengths"], f"{layer}.attended", num_heads=size.heads
        )
        mixed = add("MatMul", [attended, weight(f"{layer}.mix", hidden, hidden)], f"{layer}.mixed")
        states = add(
            "SkipLayerNormalization",
            [mixed, states, *normalisation(f"{layer}.first"), weight(f"{layer}.mix.b", hidden)],
            f"{layer}.middle",
        )
        wide = add(
            "MatMul", [states, weight(f"{layer}.widen", hidden, intermediate)], f"{layer}.wide"
        )
        active = add(
            "BiasGelu", [wide, weight(f"{layer}.widen.b", intermediate)], f"{layer}.active"
        )
        narrow = add(
            "MatMul", [active, weight(f"{layer}.narrow", intermediate, hidden)], f"{layer}.narrowed"
        )
        states = add(
            "SkipLayerNormalization",
            [narrow, states, *normalisation(f"{layer}.last"), weight(f"{layer}.narrow.b", hidden)],
            f"{layer}.states",
        )
    tensors.append(numpy_helper.from_array(np.array(0, np.int64), "first"))
    first = add("Gather", [states, "first"], "first_state", axis=1)
    dense = add("Gemm", [first, weight("pool", hidden, hidden), weight("pool.b", hidden)], "dense")
    pooled = add("Tanh", [dense], "pooled")
    add(
        "Gemm",
        [pooled, weight("output", hidden, len(LABELS)), weight("output.b", len(LABELS))],
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


def network_file(size: str, precision: str) -> Path:
    """Return the file of the network in ``fp32`` or ``int8``; build it if it is missing."""
    path = Path(tempfile.gettempdir()) / f"bert.{size}.{precision}.onnx"
    if path.exists():
        return path
    unfinished = path.with_suffix(".unfinished")
    if precision == "int8":
        import onnx
        from onnxruntime.quantization import quantize_dynamic

        # It cannot infer types after the fused operators by itself.
        known = {"DefaultTensorType": onnx.TensorProto.FLOAT}
        quantize_dynamic(network_file(size, "fp32"), unfinished, extra_options=known)
    else:
        build(SIZES[size], unfinished)
    return unfinished.rename(path)


def make_tokenizer() -> BertWordPieceTokenizer:
    """Return a tokenizer of Chinese: a token a character, and pieces of whatever else."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    printable = [chr(code) for code in range(33, 127)]
    pieces = [*special, *printable, *(f"##{character}" for character in printable)]
    characters = map(chr, count(0x4E00))  # the Chinese ones, in Unicode's order
    pieces += islice(characters, VOCABULARY - len(pieces))
    made = BertWordPieceTokenizer({piece: index for index, piece in enumerate(pieces)})
    made.enable_truncation(MAX_IDS)
    made.enable_padding()
    return made


def start_session(size: str, precision: str) -> onnxruntime.InferenceSession:
    """Return the network on all CPUs that this process may use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cpus()
    file = network_file(size, precision)
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


tokenizer = make_tokenizer()
session = start_session(*sys.argv[2:4])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities (texts, labels)."""
    exponentials: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def classify(texts: list[str]) -> list[Sentiment]:
    """Return the answers for texts, run as one padded batch."""
    encodings = tokenizer.encode_batch(texts)
    ids = np.array([encoding.ids for encoding in encodings], np.int32)
    mask = np.array([encoding.attention_mask for encoding in encodings], np.int32)
    inputs = {"ids": ids, "segments": np.zeros_like(ids), "mask": mask}
    probabilities = softmax(session.run(None, inputs)[0])
    return [
        sentiment(row, text, tokens=tokens, uncertain=True)
        for text, tokens, row in zip(
            texts, (mask.sum(axis=1) - 2).tolist(), probabilities.tolist(), strict=True
        )
    ]


if __name__ == "__main__":
    run(app_around(classify, ModelVersion(name=sys.argv[2], version="1.0.0", digest="0" * 64)))
