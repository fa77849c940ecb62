"""Artifacts of format 1 are converted, and answer the same to the bit."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from model import artifact as artifacts
from model.classifier import Classifier
from model.engines import OnnxEngine, onnx_model, pad, session_options
from model.errors import ArtifactError
from service.commands import main
from tests.support.texts import sentences

ONNX = "model.int8.onnx"
OLD_KEYS = {"drift_baseline": "reference", "int8": "onnx"}


@pytest.fixture
def old(tiny_artifact: Path, tmp_path: Path) -> Path:
    """The tiny artifact in format 1."""
    directory = Path(shutil.copytree(tiny_artifact, tmp_path / "old"))
    (directory / "weights.int8.safetensors").unlink()
    graph = onnx_model(artifacts.load(tiny_artifact))
    (directory / ONNX).write_bytes(graph)
    manifest = read_manifest(directory)
    del manifest["files"]["weights.int8.safetensors"]
    manifest["files"][ONNX] = hashlib.sha256(graph).hexdigest()
    renamed = {OLD_KEYS.get(key, key): value for key, value in manifest.items()}
    write_manifest(directory, {**renamed, "format_version": 1})
    return directory


def read_manifest(directory: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_text())
    return manifest


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    (directory / "manifest.json").write_text(json.dumps(manifest))


def repack(*paths: Path) -> Result:
    return CliRunner().invoke(main, ["repack", *map(str, paths)])


def test_loading_names_the_command(old: Path) -> None:
    with pytest.raises(ArtifactError, match=f"format version 1.*: run sentiment repack {old} to"):
        artifacts.load(old)


@pytest.mark.parametrize("in_place", [True, False])
def test_an_artifact_is_converted(
    old: Path, tiny_artifact: Path, tmp_path: Path, in_place: bool
) -> None:
    output = old if in_place else tmp_path / "new"
    digest = artifacts.load(tiny_artifact).digest
    result = repack(old) if in_place else repack(old, output)
    assert (result.output, result.exit_code) == (
        f"{output} has format 2; its digest is {digest}\n",
        0,
    )
    assert artifacts.load(output).digest == digest
    assert {path.name for path in output.iterdir()} == {
        path.name for path in tiny_artifact.iterdir()
    }
    if not in_place:
        assert read_manifest(old)["format_version"] == 1


def test_its_answers_stay_the_same_to_the_bit(old: Path) -> None:
    session = onnxruntime.InferenceSession(old / ONNX, session_options())
    assert repack(old).exit_code == 0
    artifact = Classifier.load(old).artifact
    engine, encoder = OnnxEngine(artifact), artifact.encoder()
    windows = [window for text, _ in sentences() for window in encoder.encode(text).windows]
    for start in range(0, len(windows), 8):
        batch = windows[start : start + 8]
        ids, lengths = pad(batch)
        (before,) = session.run(None, {"ids": ids, "lengths": lengths})
        np.testing.assert_array_equal(engine.logits(batch), before)


def test_an_artifact_without_an_int8_network_stays_without(old: Path) -> None:
    manifest = read_manifest(old)
    del manifest["files"][ONNX]
    write_manifest(old, manifest)
    assert repack(old).exit_code == 0
    assert artifacts.load(old).int8_weights is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "manifest.json is not of format version 1; only that can be"),
        ({"temperature": 0}, "manifest.json: temperature: Input should be greater than"),
        ({"files": []}, "manifest.json: files: Input should be an object"),
        ({"files": {ONNX: "0" * 64}}, "manifest.json: files must be vocab.txt"),
    ],
)
def test_what_cannot_be_converted_is_left_alone(
    old: Path, changes: dict[str, object], message: str
) -> None:
    manifest = {**read_manifest(old), **changes}
    write_manifest(old, manifest)
    result = repack(old)
    assert result.exit_code == 2
    assert message in result.output
    assert read_manifest(old) == manifest


def test_an_int8_network_of_other_weights_is_refused(old: Path) -> None:
    manifest = read_manifest(old)
    manifest["files"][ONNX] = "0" * 64
    write_manifest(old, manifest)
    result = repack(old)
    assert result.exit_code == 2
    assert f"{ONNX} is not the int8 network of weights.safetensors" in result.output
    assert (old / ONNX).exists()
