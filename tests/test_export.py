"""The network in int8: it answers as the weights do, and without torch."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from model import artifact as artifacts
from model.artifact import Weights
from model.classifier import Classifier
from model.config import SourceConfig
from model.corpora import Example
from model.engines import OnnxEngine, TorchEngine, pad, session_options
from model.errors import ArtifactError, ExportError
from model.network_shapes import EMBEDDING
from model.onnx_graph import build_graph
from model.training.export import export
from model.training.quantisation import quantise
from service.commands import main
from tests.support.processors import emulated, output_of
from tests.support.texts import sentences

SOURCE = SourceConfig(name="reviews", train=())
EXAMPLES = [
    Example(text, ["positive", "neutral", "negative"].index(label), "reviews")
    for text, label in sentences()
]


def test_both_engines_read_the_same(tiny_artifact: Path) -> None:
    artifact = artifacts.load(tiny_artifact)
    batch = [[5, 6, 7], [8], list(range(2, 60)), [3, 3]]
    expected, logits = (engine(artifact).logits(batch) for engine in (TorchEngine, OnnxEngine))
    np.testing.assert_allclose(logits, expected, atol=0.05 * np.abs(expected).max())


def extreme(weights: Weights) -> Weights:
    """Weights of these shapes whose sums of int8 products are the largest that there can be.

    Every vector and most columns of the LSTM's matrices have one sign, and most of their values
    are their largest one, so that bytes of 255 and 64 meet; the sums stay where gates respond.
    """
    generator = np.random.default_rng(0)
    changed = {name: tensor.astype(np.float32) for name, tensor in weights.items()}
    for name, tensor in changed.items():
        if name == EMBEDDING:
            changed[name] = np.maximum(generator.random(tensor.shape) * 2, 1).astype(np.float32)
        elif "weight_" in name:
            rows, columns = tensor.shape
            signs = np.where(np.arange(rows) % 4, np.sign(generator.normal(size=rows)), 0)
            values = np.minimum(generator.random((rows, columns)) * 2, 1) / columns
            mixed = generator.uniform(-1, 1, (rows, columns)) / columns
            changed[name] = np.where(signs[:, None] == 0, mixed, values * signs[:, None])
    return changed


@pytest.fixture
def extreme_tensors(tiny_artifact: Path) -> Weights:
    """An extreme network in int8."""
    return quantise(extreme(artifacts.load(tiny_artifact).weights))


def test_no_sum_of_two_products_outgrows_16_bits(extreme_tensors: Weights) -> None:
    for name in ("input_weights", "recurrent_weights"):
        largest = int(np.abs(extreme_tensors[name].astype(int)).max())
        assert largest == 64
        assert 2 * 255 * largest <= np.iinfo(np.int16).max
    assert np.abs(extreme_tensors["embedding"].astype(int)).max() == 127


# Prints the logits of a network by the instructions of the engine and, second, by those that ONNX
# Runtime never adds products in 16 bits with.
_BOTH_WAYS = """
import json, sys
import numpy as np
from model.engines import pad, session_options
options = [session_options(), session_options()]
options[1].add_session_config_entry("session.x64quantprecision", "1")
import onnxruntime
generator = np.random.default_rng(1)
batch = [list(generator.integers(2, int(sys.argv[2]), length)) for length in (1, 2, 5, 30, 30)]
ids, lengths = pad(batch)
print(json.dumps([
    onnxruntime.InferenceSession(sys.argv[1], each, providers=["CPUExecutionProvider"])
    .run(None, {"ids": ids, "lengths": lengths})[0].tolist()
    for each in options
]))
"""


# Haswell has AVX2 and no VNNI: there sums of int8 products would overflow.
@pytest.mark.process
@pytest.mark.parametrize(
    "processor", [None, pytest.param("Haswell", marks=emulated)], ids=["this", "haswell"]
)
def test_instructions_that_cannot_overflow_give_the_same_bits(
    processor: str | None, extreme_tensors: Weights, tiny_classifier: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "extreme.onnx"
    path.write_bytes(build_graph(extreme_tensors))
    size = len(tiny_classifier.artifact.vocabulary)
    fast, exact = output_of(processor, _BOTH_WAYS, str(path), str(size))
    assert fast == exact
    assert np.std(fast, axis=0).min() > 0  # by the ids read, not by the biases alone


def test_padding_reaches_no_answer(tiny_artifact: Path) -> None:
    engine = OnnxEngine(artifacts.load(tiny_artifact))
    short, long = [5, 6, 7], [5, 6, 7] * 40
    alone, beside = engine.logits([short])[0], engine.logits([short, long])[0]
    np.testing.assert_allclose(beside, alone, atol=0.02 * np.abs(alone).max())


def test_training_exports_what_it_measured(tiny_artifact: Path) -> None:
    measured = artifacts.load(tiny_artifact).manifest.int8
    assert measured["reviews"]["texts"] == measured["all"]["texts"] > 0
    assert measured["all"]["agreement"] >= 0.995
    assert Classifier.load(tiny_artifact).engine_name == "onnx"


def test_an_export_counts_each_text_once(tiny_artifact: Path) -> None:
    artifact = artifacts.load(tiny_artifact)
    half = len(EXAMPLES) // 3
    other = SOURCE.model_copy(update={"name": "others"})
    splits = [(SOURCE, EXAMPLES[:half]), (other, EXAMPLES[half:])]
    measured = export(artifact, splits).manifest.int8
    assert measured["all"]["texts"] == len(EXAMPLES)
    assert measured["all"]["agreement"] == pytest.approx(
        (measured["reviews"]["agreement"] + 2 * measured["others"]["agreement"]) / 3
    )


def test_a_network_that_differs_too_much_is_not_exported(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mirrored(self: OnnxEngine, batch: list[list[int]]) -> np.ndarray:
        return -honest(self, batch)

    honest = OnnxEngine.logits
    monkeypatch.setattr(OnnxEngine, "logits", mirrored)
    with pytest.raises(ExportError, match=r"in int8 \d.* of the labels of 216 texts stay the same"):
        export(artifacts.load(tiny_artifact), [(SOURCE, EXAMPLES)])


def test_an_artifact_without_it_runs_in_torch(tiny_artifact: Path, tmp_path: Path) -> None:
    artifact = artifacts.load(tiny_artifact)
    manifest = artifact.manifest.model_copy(update={"int8": {}})
    artifacts.save(replace(artifact, manifest=manifest, int8_weights=None), tmp_path)
    assert not (tmp_path / "weights.int8.safetensors").exists()
    assert Classifier.load(tmp_path).engine_name == "torch"
    with pytest.raises(
        ArtifactError, match=r"has no weights.int8.safetensors; run sentiment export"
    ):
        Classifier.load(tmp_path, engine="onnx")


def test_export_writes_an_onnx_file_for_other_tools(tiny_artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    arguments = ["export", "--model", str(tiny_artifact), "--onnx", str(path)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    session = onnxruntime.InferenceSession(path, session_options())
    ids, lengths = pad([[5, 6, 7], [8]])
    (logits,) = session.run(None, {"ids": ids, "lengths": lengths})
    expected = OnnxEngine(artifacts.load(tiny_artifact)).logits([[5, 6, 7], [8]])
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.process
def test_serving_it_imports_no_torch_and_reports_to_nobody(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    program = f"""
import sys
import time
from pathlib import Path
from fastapi.testclient import TestClient
from service.app import create_app
from service.settings import load_settings

with TestClient(create_app(load_settings(model=Path({str(tiny_artifact)!r})))) as client:
    while client.get("/readyz").status_code != 200:
        time.sleep(0.05)
    assert client.get("/v1/model").json()["engine"] == "onnx"
    assert client.post("/v1/predict", json={{"text": "房间很好"}}).status_code == 200
print(*{{"torch", "onnx", "sklearn", "scipy", "jieba", "matplotlib"}} & sys.modules.keys())
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
    )
    assert (result.stdout.decode().strip(), result.returncode) == ("", 0), result.stderr.decode()
    # ONNX Runtime's telemetry would keep its queue and an identifier of the machine there.
    assert list(tmp_path.iterdir()) == []
