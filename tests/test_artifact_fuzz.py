"""Any artifact at all: it is refused in a sentence, or it works.

``pytest tests/test_artifact_fuzz.py --hypothesis-profile fuzz`` tries many more.
"""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import event, example, given
from hypothesis import strategies as st

from model import artifact as artifacts
from model.artifact import Artifact, Manifest
from model.classifier import Classifier
from model.config import LABELS, NetworkConfig, TextConfig
from model.engines import EngineChoice
from model.errors import SentimentError
from model.network_shapes import float16_tensors
from model.text.vocabulary import Vocabulary
from model.traced_network import TracedNetwork
from model.training.quantisation import quantise

Files = dict[str, bytes]
Mutation = Callable[[Files], None]

MANIFEST = "manifest.json"
WEIGHTS, INT8_WEIGHTS = "weights.safetensors", "weights.int8.safetensors"
NAMES = [MANIFEST, "vocab.txt", "stopwords.txt", "MODEL_CARD.md", WEIGHTS, INT8_WEIGHTS]
WORDS = ["<pad>", "<unk>", "房间", "早餐", "很", "不", "好", "坏", ",", "。", "a", "[泪]"]
TEXTS = ["房间很好，早餐不坏。", "a", "坏" * 200, "没见过的词[泪]", "".join(WORDS[2:]) * 20]


def network_bytes() -> Files:
    """The files of the smallest artifact that has every part; its network is untrained."""
    random = np.random.default_rng(5)
    config = NetworkConfig(embedding_size=4, hidden_size=3)
    weights = {
        name: random.normal(size=spec.shape).astype(np.float16)
        for name, spec in float16_tensors(len(WORDS), config).items()
    }
    shares = [1 / 9] * 9
    manifest = Manifest.model_validate(
        {
            "format_version": artifacts.FORMAT_VERSION,
            "name": "small",
            "version": "1.0.0",
            "labels": LABELS,
            "text": TextConfig(window=8, user_words=("绝绝子",)),
            "network": config,
            "temperature": 1.0,
            "uncertain_below": 0.5,
            "training_data": "0" * 64,
            "metrics": {"dev": {"accuracy": 0.9}},
            "int8": {"all": {"agreement": 1.0}},
            "drift_baseline": {
                "texts": 9,
                "labels": dict.fromkeys(LABELS, 1 / 3),
                "confidence": shares,
                "mean_confidence": 0.5,
                "unknown": 0.1,
            },
        }
    )
    artifact = Artifact(
        manifest, Vocabulary(WORDS), ("的",), weights, "# A card\n", quantise(weights)
    )
    with TemporaryDirectory() as directory:
        artifacts.save(artifact, Path(directory))
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


FILES = network_bytes()

numbers = (
    st.sampled_from([0, -1, 1, 2**31, 2**63, 10**400, -0.0, 1e-320, 1e308, math.nan, -math.inf])
    | st.integers()
    | st.floats()
)
strings = st.sampled_from(["", "\ud800", "\x00", "../x", "/etc/passwd", "的", "1.0.0"]) | st.text()
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=8,
)


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every container inside ``content`` with each of its keys."""
    keys: list[Any] = []
    if isinstance(content, dict):
        keys = list(content)
    elif isinstance(content, list):
        keys = list(range(len(content)))
    found = [(content, key) for key in keys]
    return found + [place for key in keys for place in places(content[key])]


def change_json(draw: st.DrawFn, content: Any) -> None:
    """Swaps, deletes or adds one value anywhere in ``content``."""
    container, key = draw(st.sampled_from(places(content)))
    match draw(st.sampled_from(["swap", "delete", "add"])):
        case "swap":
            container[key] = draw(values)
        case "delete":
            del container[key]
        case "add" if isinstance(container, dict):
            container[draw(st.sampled_from([*content]) if content else strings)] = draw(values)
        case _:
            container.insert(key, draw(values))


@st.composite
def manifest_changes(draw: st.DrawFn) -> Mutation:
    manifest = json.loads(FILES[MANIFEST])
    for _ in range(draw(st.integers(1, 3))):
        if places(manifest):
            change_json(draw, manifest)
    # Lone surrogates stand in it as escapes or, not being UTF-8, as bytes.
    text = json.dumps(manifest, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 9)) == 0:
        text = text.replace('"name"', draw(st.sampled_from(['"version"', '"name": 1, "name"'])), 1)
    return lambda files: files.update({MANIFEST: text.encode(errors="surrogatepass")})


@st.composite
def byte_changes(draw: st.DrawFn) -> Mutation:
    name = draw(st.sampled_from(NAMES))
    length = len(FILES[name])
    start = draw(st.integers(0, length) | st.integers(0, min(length, 64)))
    match draw(st.sampled_from(["flip", "truncate", "insert", "cut", "overwrite", "replace"])):
        case "flip":
            bit = draw(st.integers(0, 7))
            replaced, end = bytes([FILES[name][start % length] ^ 1 << bit]), start % length + 1
            start = end - 1
        case "truncate":
            replaced, end = b"", length
        case "insert":
            replaced, end = draw(st.binary(max_size=20)), start
        case "cut":
            replaced, end = b"", start + draw(st.integers(1, 20))
        case "overwrite":
            replaced = draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8]))
            end = start + len(replaced)
        case _:
            start, end = 0, length
            replaced = draw(
                st.binary(max_size=100)
                | st.sampled_from([b"[" * 100_000, b"\x00" * 10_000, *FILES.values()])
            )

    def mutate(files: Files) -> None:
        files[name] = files[name][:start] + replaced + files[name][end:]

    return mutate


@st.composite
def header_changes(draw: st.DrawFn) -> Mutation:
    """Another header of the weights, which may say of them what is not so."""
    name = draw(st.sampled_from([WEIGHTS, INT8_WEIGHTS]))
    length = int.from_bytes(FILES[name][:8], "little")
    header = json.loads(FILES[name][8 : 8 + length])
    if draw(st.booleans()):
        change_json(draw, header)
    else:
        tensor = header[draw(st.sampled_from(sorted(header.keys() - {"__metadata__"})))]
        kinds = ["F32", "BF16", "F8_E4M3", "I16", "U16", "BOOL", "I64", "C64", "F4"]
        tensor["dtype"] = draw(st.sampled_from(kinds))
    text = json.dumps(header).encode()
    if draw(st.integers(0, 9)) == 0:  # a key twice
        text = text.replace(b"{", b'{"output.bias": 1, ', 1)
    said = draw(st.sampled_from([len(text), len(text), len(text) + 1, 2**40, 2**64 - 1]))
    content = said.to_bytes(8, "little") + text + FILES[name][8 + length :]
    return lambda files: files.update({name: content})


@st.composite
def weight_changes(draw: st.DrawFn) -> Mutation:
    """Any half-precision numbers, the largest and the infinite among them."""
    length = int.from_bytes(FILES[WEIGHTS][:8], "little") + 8
    content = bytearray(FILES[WEIGHTS])
    extremes = st.sampled_from([b"\xff\x7b", b"\xff\xfb", b"\x01\x00", b"\x00\x7c", b"\x01\x7e"])
    number = draw(extremes | st.binary(min_size=2, max_size=2))
    start = draw(st.integers(0, (len(content) - length) // 2 - 1))
    count = draw(st.integers(1, (len(content) - length) // 2 - start))
    content[length + 2 * start : length + 2 * (start + count)] = number * count
    return lambda files: files.update({WEIGHTS: bytes(content)})


@st.composite
def int8_changes(draw: st.DrawFn) -> Mutation:
    """Other numbers in the int8 weights, or another type, shape or name of them."""
    tensors = safetensors.numpy.load(FILES[INT8_WEIGHTS])
    name = draw(st.sampled_from(sorted(tensors)))
    values = tensors[name]
    match draw(st.sampled_from(["numbers", "numbers", "numbers", "type", "shape", "name"])):
        case "numbers":
            extremes = [0, -1, 127, 3e38, -3e38, 65504, -65504, 515, 1e-45, math.inf, math.nan]
            if values.dtype.kind == "i":
                extremes = [0, -1, 64, 127, -128]
            number = draw(st.sampled_from(extremes))
            start = draw(st.integers(0, values.size - 1))
            values.flat[start : start + draw(st.integers(1, values.size))] = number
        case "type":
            with np.errstate(all="ignore"):
                tensors[name] = values.astype(draw(st.sampled_from(["i1", "u1", "<f2", "<f8"])))
        case "shape":
            shape = draw(st.sampled_from([(1, *values.shape), (-1,), values.shape[::-1]]))
            tensors[name] = values.reshape(shape)
        case _:
            tensors[draw(st.sampled_from(["", "output.bias", *tensors]))] = tensors.pop(name)
    return lambda files: files.update({INT8_WEIGHTS: safetensors.numpy.save(tensors)})


mutations = st.lists(
    st.one_of(
        manifest_changes(),
        byte_changes(),
        header_changes(),
        weight_changes(),
        int8_changes(),
    ),
    max_size=3,
)


def with_right_hashes(files: Files) -> Files:
    """What whoever changed the other files would do to the manifest, where that can be done."""
    try:
        manifest = json.loads(files[MANIFEST])
        for name in manifest["files"].keys() & files.keys():
            manifest["files"][name] = hashlib.sha256(files[name]).hexdigest()
        return {**files, MANIFEST: json.dumps(manifest).encode()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return files


@given(
    mutations=mutations,
    hashes_are_right=st.sampled_from([True, True, True, False]),
    engine=st.sampled_from(["onnx", "torch"]),
)
@example(mutations=[], hashes_are_right=False, engine="onnx")
@example(mutations=[], hashes_are_right=False, engine="torch")
def test_any_artifact_is_refused_in_a_sentence_or_works(
    mutations: list[Mutation],
    hashes_are_right: bool,
    engine: EngineChoice,
) -> None:
    files = dict(FILES)
    for mutate in mutations:
        mutate(files)
    if hashes_are_right:
        files = with_right_hashes(files)
    with TemporaryDirectory() as directory:
        for name, content in files.items():
            Path(directory, name).write_bytes(content)
        refused = use(Path(directory), engine)
    event("works" if refused is None else "refused")
    if refused is not None:
        assert mutations, refused
        assert refused.isprintable()
        assert len(refused) < 1000


def use(directory: Path, engine: EngineChoice) -> str | None:
    """Why an artifact is refused; where it is not, it must answer and explain."""
    try:
        classifier = Classifier.load(directory, threads=1, engine=engine)
    except SentimentError as error:
        return str(error)
    network = TracedNetwork(classifier.artifact.weights)
    for answer in classifier.predict(TEXTS):
        assert sum(answer.probabilities) == pytest.approx(1)
        for trace in network.trace(answer.encoding.windows):
            assert np.isfinite(trace.logits).all()
    return None
