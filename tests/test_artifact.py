"""Artifacts: what is saved is loaded, and what is damaged is refused in a sentence."""

import hashlib
import json
import math
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from model import artifact as artifacts
from model.classifier import Classifier
from model.engines import EngineChoice, start_engine
from model.errors import ArtifactError, SentimentError
from model.files import read_file
from tests.support.clock import wait_for
from tests.support.process import served

BINARY = ["weights.safetensors", "weights.int8.safetensors"]
FILES = ["manifest.json", "vocab.txt", "stopwords.txt", "MODEL_CARD.md", *BINARY]


@pytest.fixture
def copy(tiny_artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_artifact, tmp_path / "copy"))


def write(directory: Path, name: str, content: bytes) -> None:
    """Writes a file and its hash, as an attacker who can write one of them can."""
    (directory / name).write_bytes(content)
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))


def edit_manifest(directory: Path, key: str, value: object) -> None:
    """Sets what stands under a key, or under one of a key: ``network.hidden_size``."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    outer, _, inner = key.partition(".")
    if inner:
        manifest[outer][inner] = value
    else:
        manifest[outer] = value
    path.write_text(json.dumps(manifest))


def test_load_is_the_inverse_of_save(tiny_artifact: Path, tmp_path: Path) -> None:
    loaded = artifacts.load(tiny_artifact)
    artifacts.save(loaded, tmp_path / "again")
    again = artifacts.load(tmp_path / "again")
    assert again.manifest == loaded.manifest
    assert again.vocabulary.words == loaded.vocabulary.words
    assert again.stopwords == loaded.stopwords
    assert again.card == loaded.card
    assert again.digest == loaded.digest
    assert loaded.int8_weights
    assert again.int8_weights
    for name, tensor in loaded.weights.items():
        np.testing.assert_array_equal(tensor, again.weights[name])
    for name, tensor in loaded.int8_weights.items():
        np.testing.assert_array_equal(tensor, again.int8_weights[name])


def test_saved_and_loaded_gives_the_same_predictions(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    artifacts.save(tiny_classifier.artifact, tmp_path)
    texts = ["房间很好", "早餐太糟糕了", "电影在三楼"]
    first, second = (c.predict(texts) for c in (tiny_classifier, Classifier.load(tmp_path)))
    assert [p.probabilities for p in first] == [p.probabilities for p in second]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"nothing is not an artifact, for it has no manifest.json"
    ):
        artifacts.load(tmp_path / "nothing")


def test_an_artifact_outlives_its_files(copy: Path, tiny_artifact: Path) -> None:
    loaded, expected = artifacts.load(copy), artifacts.load(tiny_artifact)
    artifacts.save(expected, copy)  # as another version would be
    shutil.rmtree(copy)
    for name, tensor in expected.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], tensor)


def test_nothing_written_to_loaded_weights_reaches_their_file(copy: Path) -> None:
    before = (copy / "weights.safetensors").read_bytes()
    artifacts.load(copy).weights["output.bias"][:] = 1
    assert (copy / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=rf"{name} is not (the file that|JSON)"):
        artifacts.load(copy)


@pytest.mark.parametrize("name", ["vocab.txt", "stopwords.txt", *BINARY])
def test_a_truncated_file_is_refused_although_its_hash_is_right(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    write(copy, name, content[: len(content) // 2 - 1])
    with pytest.raises(ArtifactError, match=r"cannot be used|holds no tensors"):
        artifacts.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} cannot be read: No such file|has no {name};"):
        artifacts.load(copy)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "cannot be read: Is a directory"),
        (os.mkfifo, "cannot be read: it is not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "points outside the artifact directory"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_refused_without_waiting(
    copy: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    (copy / name).unlink()
    make(copy / name)
    with pytest.raises(ArtifactError, match=f"{name} {message}"):
        artifacts.load(copy)


def test_a_device_is_refused(copy: Path) -> None:
    (copy / "vocab.txt").unlink()
    try:
        os.mknod(copy / "vocab.txt", stat.S_IFCHR | 0o666, os.makedev(1, 5))  # as /dev/zero
        (copy / "vocab.txt").open().close()
    except PermissionError:
        pytest.skip("this user makes no devices")
    with pytest.raises(ArtifactError, match=r"vocab.txt cannot be read: it is not a file"):
        artifacts.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_directory_is_refused(copy: Path, name: str) -> None:
    (copy / name).rename(copy.parent / name)
    (copy / name).symlink_to(Path("..") / name)
    with pytest.raises(ArtifactError, match=f"{name} points outside the artifact directory"):
        artifacts.load(copy)


def test_links_inside_the_directory_and_to_it_are_followed(copy: Path) -> None:
    (copy / "data").mkdir()
    for name in FILES:  # as Kubernetes mounts a ConfigMap
        (copy / name).rename(copy / "data" / name)
        (copy / name).symlink_to(Path("data") / name)
    (copy.parent / "current").symlink_to(copy)
    assert artifacts.load(copy.parent / "current").digest


def test_a_file_that_may_not_be_read_is_refused(copy: Path) -> None:
    (copy / "vocab.txt").chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # who may read everything
            os.seteuid(65534)
        with pytest.raises(ArtifactError, match=r"cannot be read: Permission denied"):
            artifacts.load(copy)
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    ("name", "size"),
    [("manifest.json", 2**20), ("stopwords.txt", 2**25), ("weights.int8.safetensors", 2**29)],
)
def test_a_file_over_its_limit_is_not_read(copy: Path, name: str, size: int) -> None:
    os.truncate(copy / name, size + 1)  # a hole: nothing is written
    with pytest.raises(
        ArtifactError, match=f"{name} cannot be read: it has {size + 1} bytes; at most"
    ):
        artifacts.load(copy)


def test_a_file_is_read_whole_though_its_size_was_smaller() -> None:
    grown = Path("/proc/self/limits")  # its size is 0 until it is read
    assert grown.stat().st_size == 0
    assert read_file(grown, 2**20) == grown.read_bytes()
    with pytest.raises(OSError, match="it has 101 bytes; at most 100 are read"):
        read_file(grown, 100)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "format_version",
            1,
            "format version 1; this release reads 2: run sentiment repack /.*copy to",
        ),
        ("format_version", 3, "format version 3; this release reads 2$"),
        ("format_version", True, "format version True; this release reads 2$"),
        ("format_version", "1", "format version '1'; this release reads 2$"),
        ("format_version", [[[]]] * 1000, r"format version \[.{0,200}; this release reads 2$"),
        ("labels", ["negative", "neutral", "positive"], "labels must be positive, neutral"),
        ("labels", ["positive", "positive", "negative"], "labels must be positive, neutral"),
        ("labels", ["positive", "negative"], "labels must be positive, neutral"),
        ("labels", ["positive", "neutral", "mixed"], "labels.2: Input should be 'positive'"),
        ("labels", [], "labels must be positive, neutral"),
        ("temperature", 0, "temperature: Input should be greater than or equal to 0.01"),
        ("temperature", -1, "temperature: Input should be greater than or equal to 0.01"),
        ("temperature", 1e-308, "temperature: Input should be greater than or equal to 0.01"),
        ("temperature", 1e300, "temperature: Input should be less than or equal to 100"),
        ("temperature", math.nan, "is not JSON: NaN is not a valid number"),
        ("temperature", math.inf, "is not JSON: Infinity is not a valid number"),
        ("temperature", "1", "temperature: Input should be a valid number"),
        ("temperature", True, "temperature: Input should be a valid number"),
        ("uncertain_below", 1.1, "uncertain_below: Input should be less than or equal to 1"),
        ("uncertain_below", -0.1, "uncertain_below: Input should be greater than or equal to 0"),
        ("uncertain_below", None, "uncertain_below: Input should be a valid number"),
        ("name", "a\nb", "name: String should match pattern"),
        ("name", "a" * 65, "name: String should have at most 64 characters"),
        ("name", "\ud800", "Invalid JSON"),
        ("version", "1.0", "version: String should match pattern"),
        ("version", "１.0.0", "version: String should match pattern"),
        ("training_data", "", "training_data: String should match pattern"),
        ("metrics", {"\ud800": {}}, "Invalid JSON"),
        ("metrics", {"dev": {"accuracy": "high"}}, "metrics.dev.accuracy: Input should be a valid"),
        ("text.window", 0, "text.window: Input should be greater than or equal to 8"),
        ("text.window", 10**9, "text.window: Input should be less than or equal to 4096"),
        ("text.user_words", ["iphone"], "'iphone'"),
        ("text.user_words", [""], "text.user_words.0: String should have at least 1 character"),
        ("text.user_words", ["好" * 101], "text.user_words.0: String should have at most 100"),
        ("network.hidden_size", 10**4000, "network.hidden_size: Input should be less than"),
        ("network.hidden_size", 2**16, "weights.safetensors: .* require float16 of shape"),
        ("network.hidden_size", 64, "weights.safetensors: .* require float16 of shape"),
        ("network.embedding_size", 129, "weights.safetensors: .* require float16 of shape"),
        ("network.embedding_size", 128.5, "network.embedding_size: Input should be a valid int"),
        ("files", {}, "files must be vocab.txt, stopwords.txt"),
        ("files", {f"{name}.png": "0" * 64 for name in "abcdefghijklmnopqrstu"}, "at most 20"),
        ("files.model\ufeff", "0" * 64, "files must be vocab.txt, stopwords.txt"),
        ("files.../vocab", "0" * 64, "files must be vocab.txt, stopwords.txt"),
        ("files./etc/passwd", "0" * 64, "files must be vocab.txt, stopwords.txt"),
        ("files.vocab", "../vocab", "files.vocab: String should match pattern"),
        ("surprise", 1, "surprise: Extra inputs are not permitted"),
        ("a\nb\x1b", 1, r"'a\\nb\\x1b': Extra inputs are not permitted"),
        ("surprise" * 1000, 1, r"surprise.{190,200}…: Extra inputs are not permitted"),
        ("name", "mine@1.0.0", "manifest.json: name: String should match pattern"),
        ("name", "mine\n", "manifest.json: name: String should match pattern"),
        ("name", "", "manifest.json: name: String should match pattern"),
        ("version", "1.0.0\n", "manifest.json: version: String should match pattern"),
        ("version", "1.0.0@2", "manifest.json: version: String should match pattern"),
        ("version", "1.0.٣", "manifest.json: version: String should match pattern"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(
    copy: Path, path: str, value: object, message: str
) -> None:
    edit_manifest(copy, path, value)
    with pytest.raises(SentimentError, match=message) as refused:
        Classifier.load(copy)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    ["format_version", "name", "version", "labels", "text", "network", "temperature", "files"],
)
def test_a_manifest_that_lacks_a_key_is_refused(copy: Path, key: str) -> None:
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[key]
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=f"{key}: Field required|has format version|files must"):
        artifacts.load(copy)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b"\xff\xfe{\x00}\x00",
        '{"名": 1}'.encode("gb18030"),
        b'{"format_version": 2, "format_version": 2}',
        b'{"format_version": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_a_manifest_that_is_no_object_is_refused(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"manifest.json (is not JSON: |has format version)"):
        artifacts.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda words: words[:-1], "embedding.weight is float16 of shape"),
        (lambda words: [*words, "又一个"], "embedding.weight is float16 of shape"),
        (lambda words: [*words[:-1], words[2]], "duplicate word"),
        (lambda words: words[2:], "the first two words must be"),
        (lambda words: [], "the first two words must be"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(
    copy: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    words = artifacts.from_lines((copy / "vocab.txt").read_bytes())
    write(copy, "vocab.txt", artifacts.to_lines(change(words)))
    with pytest.raises(ArtifactError, match=message):
        artifacts.load(copy)


@pytest.mark.parametrize("name", ["vocab.txt", "stopwords.txt", "MODEL_CARD.md"])
def test_a_text_that_is_not_utf_8_is_refused(copy: Path, name: str) -> None:
    write(copy, name, (copy / name).read_bytes() + b"\xff\n")
    with pytest.raises(ArtifactError, match=f"{name} cannot be used: 'utf-8' codec"):
        artifacts.load(copy)


Change = Callable[[NDArray[Any]], NDArray[Any]]


def change_tensor(directory: Path, file: str, name: str, change: Change) -> None:
    tensors = safetensors.numpy.load((directory / file).read_bytes())
    tensors[name] = np.ascontiguousarray(change(tensors.get(name, np.zeros(0))))
    write(directory, file, safetensors.numpy.save(tensors))


def with_last(value: float) -> Change:
    """Return a change that sets the last value of a tensor."""

    def change(tensor: NDArray[Any]) -> NDArray[Any]:
        tensor.flat[-1] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("output.bias", lambda bias: bias * np.float16(np.nan), "holds values that are not finite"),
        ("output.bias", lambda bias: bias + np.float16(np.inf), "holds values that are not finite"),
        ("output.bias", lambda bias: bias.astype(np.float32), "output.bias is float32"),
        ("output.bias", lambda bias: bias[:2], r"of shape \(2,\), but manifest.json"),
        ("output.weight", lambda weight: weight.T.copy(), r"output.weight is float16 of shape"),
        ("another", lambda none: np.zeros(3, np.float16), "must hold reader.embedding.weight"),
        ("reader.embedding.weight", lambda old: old[:0], r"of shape \(0, 128\), but manifest"),
    ],
)
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_weights_that_do_not_fit_are_refused_by_either_engine(
    copy: Path, name: str, change: Change, message: str, engine: EngineChoice
) -> None:
    change_tensor(copy, "weights.safetensors", name, change)
    with pytest.raises(ArtifactError, match=message):
        Classifier.load(copy, engine=engine)


@pytest.mark.parametrize(
    "header",
    [
        b'{"output.bias": {"dtype": "F16", "shape": [3], "data_offsets": [0, 600000000]}}',
        b'{"output.bias": {"dtype": "F16", "shape": [9223372036854775], "data_offsets": [0, 0]}}',
        b'{"output.bias": {"dtype": "F16", "shape": [3], "data_offsets": [4, 10]}}',
        b'{"output.bias": {"dtype": "F8", "shape": [6], "data_offsets": [0, 6]}}',
        b'{"output.bias": 1}',
        b'{"output.bias": {"dtype": "a\\nb' + b"c" * 1000 + b'"}}',
        b"[" * 100_000,
    ],
)
def test_weights_whose_header_lies_are_refused(copy: Path, header: bytes) -> None:
    for length in (len(header), 2**63):
        write(copy, "weights.safetensors", length.to_bytes(8, "little") + header + b"\x00" * 6)
        with pytest.raises(ArtifactError, match=r"holds no tensors") as refused:
            artifacts.load(copy)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("output_bias", with_last(math.nan), "output_bias holds values that are not finite"),
        (
            "embedding_scale",
            with_last(math.inf),
            "embedding_scale holds values that are not finite",
        ),
        ("embedding_scale", with_last(3e38), "embedding_scale holds values outside 0 to 1023"),
        ("input_scale", with_last(-1.0), "input_scale holds values outside 0 to 1023"),
        ("lstm_bias", with_last(-1e38), "lstm_bias holds values outside -65504 to 65504"),
        ("embedding", with_last(-128), "embedding holds values outside -127 to 127"),
        ("recurrent_weights", with_last(65), "recurrent_weights holds values outside -64 to 64"),
        ("output_bias", lambda old: old.astype(np.int32), "output_bias is int32 of shape"),
        ("embedding", lambda old: old[:-1], "embedding is int8 of shape"),
        ("embedding", lambda old: old.astype(np.float32), "embedding is float32 of shape"),
        ("attention", lambda old: old[:, 0], "attention is float32 of shape"),
        ("another", lambda none: np.zeros(3, np.int8), "must hold embedding, embedding_scale, "),
    ],
)
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_int8_weights_that_do_not_fit_are_refused_by_either_engine(
    copy: Path, name: str, change: Change, message: str, engine: EngineChoice
) -> None:
    change_tensor(copy, "weights.int8.safetensors", name, change)
    with pytest.raises(ArtifactError, match=f"weights.int8.safetensors:? {message}"):
        Classifier.load(copy, engine=engine)


def test_an_artifact_holds_no_program(copy: Path) -> None:
    (copy / "model.int8.onnx").write_bytes(b"")
    edit_manifest(copy, "files.model.int8.onnx", "0" * 64)
    with pytest.raises(ArtifactError, match=r"files must be vocab.txt, stopwords.txt"):
        artifacts.load(copy)


def test_an_engine_that_gives_no_finite_answer_does_not_start(tiny_artifact: Path) -> None:
    artifact = artifacts.load(tiny_artifact)
    assert artifact.int8_weights is not None
    tensors = dict(artifact.int8_weights)
    broken = {**tensors, "output_bias": tensors["output_bias"] * np.float32(math.nan)}
    with pytest.raises(ArtifactError, match="the onnx engine returns values that are not finite"):
        start_engine(replace(artifact, int8_weights=broken))
    lacking = {name: tensors[name][:-1] for name in ("embedding", "embedding_scale")}
    with pytest.raises(ArtifactError, match="the onnx engine cannot run the network"):
        start_engine(replace(artifact, int8_weights={**tensors, **lacking}))


def test_a_network_that_onnx_runtime_cannot_load_is_refused(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.engines.build_graph", lambda _: b"nothing")
    with pytest.raises(ArtifactError, match=r"weights.int8.safetensors cannot be used"):
        Classifier.load(tiny_artifact)


@pytest.mark.process
def test_a_broken_artifact_ends_the_command_in_one_sentence(copy: Path) -> None:
    change_tensor(copy, "weights.int8.safetensors", "embedding", with_last(-128))
    environment = {**os.environ, "SENTIMENT_MODELS": str(copy)}
    command = [sys.executable, "-m", "service"]
    for arguments, variables in (
        (["serve", "--check"], environment),
        (["predict", "--model", str(copy), "很好"], None),
    ):
        ended = subprocess.run(
            [*command, *arguments], env=variables, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ended.stderr == (
            f"sentiment: {copy}/weights.int8.safetensors: embedding holds values outside -127 to "
            "127\n"
        )


@pytest.mark.process
def test_a_service_with_a_broken_artifact_says_why_and_is_never_ready(copy: Path) -> None:
    edit_manifest(copy, "temperature", 0)
    with served(copy, copy.parent / "log") as (process, address):
        wait_for(lambda: httpx2.get(f"{address}/health").json()["status"] == "failed")
        health = httpx2.get(f"{address}/health").json()
        assert "manifest.json: temperature: Input should be" in health["detail"]
        assert httpx2.get(f"{address}/readyz").status_code == 503
        process.terminate()
        assert process.wait(60) == 0
    log = (copy.parent / "log").read_text()
    assert "temperature: Input should be" in log
    assert "Traceback" not in log


def test_nothing_in_an_artifact_is_a_pickle(tiny_artifact: Path) -> None:
    for path in tiny_artifact.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path
