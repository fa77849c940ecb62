"""Artifacts: what is saved is loaded, and what is damaged is refused in a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model import artifact as artifacts
from model.classifier import Classifier
from model.errors import ArtifactError


@pytest.fixture
def copy(tiny_artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_artifact, tmp_path / "copy"))


def rewrite(directory: Path, change: Callable[[artifacts.Artifact], artifacts.Artifact]) -> None:
    artifacts.save(change(artifacts.load(directory)), directory)


def edit_manifest(directory: Path, **fields: object) -> None:
    path = directory / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_load_is_the_inverse_of_save(tiny_artifact: Path, tmp_path: Path) -> None:
    loaded = artifacts.load(tiny_artifact)
    artifacts.save(loaded, tmp_path / "again")
    again = artifacts.load(tmp_path / "again")
    assert again.manifest == loaded.manifest
    assert again.vocabulary.words == loaded.vocabulary.words
    assert again.stopwords == loaded.stopwords
    assert again.card == loaded.card
    assert again.digest == loaded.digest
    assert loaded.onnx
    assert again.onnx
    assert again.onnx() == loaded.onnx()
    for name, tensor in loaded.weights.items():
        np.testing.assert_array_equal(tensor, again.weights[name])


def test_saved_and_loaded_gives_the_same_predictions(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    artifacts.save(tiny_classifier.artifact, tmp_path)
    texts = ["房间很好", "早餐太糟糕了", "电影在三楼"]
    first, second = (c.predict(texts) for c in (tiny_classifier, Classifier.load(tmp_path)))
    assert [p.probabilities for p in first] == [p.probabilities for p in second]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nothing/manifest.json cannot be read: No such file"):
        artifacts.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    "name", ["vocab.txt", "stopwords.txt", "weights.safetensors", "model.int8.onnx"]
)
def test_a_changed_file_is_refused(copy: Path, name: str) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-2])
    with pytest.raises(ArtifactError, match=f"{name} is not the file"):
        artifacts.load(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "vocab.txt").unlink()
    with pytest.raises(ArtifactError, match=r"vocab.txt cannot be read"):
        artifacts.load(copy)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format_version": 2}, "format version 2; this release reads 1"),
        ({"temperature": 0}, "temperature"),
        ({"labels": ["negative", "neutral", "positive"]}, "labels must be positive, neutral"),
        ({"files": {}}, "files must be vocab.txt, stopwords.txt"),
        ({"surprise": 1}, "surprise"),
        ({"name": "mine@1.0.0"}, "manifest.json: name: String should match pattern"),
        ({"name": "mine\n"}, "manifest.json: name: String should match pattern"),
        ({"name": ""}, "manifest.json: name: String should match pattern"),
        ({"name": "m" * 65}, "manifest.json: name: String should have at most 64"),
        ({"version": "1.0.0\n"}, "manifest.json: version: String should match pattern"),
        ({"version": "1.0.0@2"}, "manifest.json: version: String should match pattern"),
        ({"version": "1.0.٣"}, "manifest.json: version: String should match pattern"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(
    copy: Path, fields: dict[str, object], message: str
) -> None:
    edit_manifest(copy, **fields)
    with pytest.raises(ArtifactError, match=message):
        artifacts.load(copy)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_a_manifest_that_is_no_object_is_refused(copy: Path, content: str) -> None:
    (copy / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"manifest.json (is not JSON|has format version None)"):
        artifacts.load(copy)


def test_weights_that_are_not_finite_are_refused(copy: Path) -> None:
    def poison(artifact: artifacts.Artifact) -> artifacts.Artifact:
        artifact.weights["output.bias"][0] = np.nan
        return artifact

    rewrite(copy, poison)
    with pytest.raises(ArtifactError, match=r"output.bias holds values that are not finite"):
        Classifier.load(copy, engine="torch")


def test_weights_of_other_shapes_are_refused(copy: Path) -> None:
    edit_manifest(copy, network={"hidden_size": 64, "embedding_size": 128})
    with pytest.raises(ArtifactError, match="the weights do not fit the manifest: size mismatch"):
        Classifier.load(copy, engine="torch")


def test_nothing_in_an_artifact_is_a_pickle(tiny_artifact: Path) -> None:
    for path in tiny_artifact.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK")), path
