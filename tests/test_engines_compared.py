"""The comparison of engines runs the network that ships, whatever form it is given in."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.engines import __main__ as compared
from bench.engines.__main__ import Measured, check, measure, report
from bench.engines.breakdown import batch
from bench.engines.networks import separate_operators
from model import artifact as artifacts
from model.engines import import_onnxruntime, onnx_model

HERE = Path(sys.executable)


def test_the_lstm_in_separate_operators_gives_the_same_logits(tiny_artifact: Path) -> None:
    artifact = artifacts.load(tiny_artifact)
    shipped = onnx_model(artifact)
    separate = separate_operators(shipped)
    assert "DynamicQuantizeLSTM" not in {node.op_type for node in separate.graph.node}
    inputs = {"ids": np.array(batch(3, len(artifact.vocabulary), 7)), "lengths": np.full(3, 7)}
    first, second = (
        import_onnxruntime().InferenceSession(graph).run(None, inputs)[0]
        for graph in (shipped, separate.SerializeToString())
    )
    assert np.abs(first).max() > 0.1
    # Rounding differs: a state that is off by the last bit is quantised to another value.
    np.testing.assert_allclose(second, first, atol=0.02)


@pytest.mark.process
def test_each_engine_runs_our_network_in_a_process_of_its_own(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compared, "ROWS", (1, 2))
    monkeypatch.setattr(compared, "TOKENS", (5,))
    monkeypatch.setattr(compared, "disk_megabytes", lambda python: 7.0)
    engines = [
        ("ours", compared.ORT, "onnxruntime", HERE),
        ("apart", compared.ORT, "onnxruntime, separate operators", HERE),
        ("float32", compared.TORCH, "torch, float32", HERE),
    ]
    measured = measure(artifacts.load(tiny_artifact), engines, rounds=2)
    check(measured)
    assert measured[0].difference < 1e-6
    for each in measured:
        assert each.microseconds.keys() == {(1, 5), (2, 5)}
        assert all(len(taken) == 2 and min(taken) > 0 for taken in each.microseconds.values())
        assert each.loaded_megabytes > 0
    # torch takes several times the memory, which a process that both shared would hide.
    assert measured[2].loaded_megabytes > 2 * measured[0].loaded_megabytes


def test_ratios_are_to_the_first_engine() -> None:
    ours = Measured("ours", "1.0", 100, 0.05, 40, {(1, 10): [9, 10, 90], (4, 10): [5]}, 0, 50)
    other = Measured("other", "2.1", 10, 1.5, 20, {(1, 10): [20], (4, 10): [40]}, 0.02, 60)
    times, costs = (table.splitlines() for table in report([ours, other]).split("\n\n"))
    assert times[0] == "| engine | 1 × 10 | 4 × 10 |"
    assert times[2:] == ["| ours, 1.0 | 10.0 | 5.0 |", "| other, 2.1 | 20.0 | 40.0 |"]
    assert costs[2] == "| ours, 1.0 | 1.00 | 0.000 | 50 | 40 | 50 | 100 |"
    assert costs[3] == "| other, 2.1 | 4.00 | 0.020 | 1500 | 20 | 60 | 10 |"  # the root of 2 and 8


@pytest.mark.parametrize("difference", [0.5, float("nan")])
def test_an_engine_that_ran_another_network_stops_the_comparison(difference: float) -> None:
    with pytest.raises(SystemExit, match="another"):
        check([Measured("another", "1.0", 1, 1, 1, difference=difference)])
