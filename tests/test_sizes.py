"""The curve of accuracy against the engine's time."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import sizes
from bench.sizes import Size, draw, measure, report, untrained
from model import artifact as artifacts

SIZES = [
    Size("a 1.0", 512, {1: 40.0, 16: 12.0}, 71.94),
    Size("random weights", 256, {1: 10.0, 16: 4.0}, None),
]


def test_a_network_of_random_weights_runs_at_the_size_asked_for(tiny_artifact: Path) -> None:
    tiny = artifacts.load(tiny_artifact)
    networks = [tiny, untrained(8, tiny), untrained(24, tiny)]
    measured = measure(networks, runs=2)
    assert [size.hidden_size for size in measured[1:]] == [8, 24]
    assert {size.accuracy for size in measured} == {None}  # they have no set of that name
    for size in measured:
        assert size.microseconds.keys() == {1, 16}
        assert min(size.microseconds.values()) > 0


def test_accuracy_is_what_the_manifest_states(tiny_artifact: Path) -> None:
    tiny = artifacts.load(tiny_artifact)
    stated = {"metrics": {"annotated": {"accuracy": 0.815, "macro_f1": 0.7}}}
    named = replace(tiny, manifest=tiny.manifest.model_copy(update=stated))
    (size,) = measure([named], runs=1)
    assert size.accuracy == pytest.approx(81.5)


def test_ratios_are_to_the_first_network() -> None:
    header, _, first, second = report(SIZES).splitlines()
    assert header.count("|") == first.count("|") == second.count("|")
    assert first == "| a 1.0 | 512 | 40.00 | 1.00 | 12.00 | 1.00 | 71.9 |"
    assert second == "| random weights | 256 | 10.00 | 0.25 | 4.00 | 0.33 | – |"


def test_the_picture_has_a_curve_of_accuracy_only_where_one_is_known(tmp_path: Path) -> None:
    paths = [tmp_path / "both.svg", tmp_path / "time.svg"]
    for path, drawn in zip(paths, (SIZES, SIZES[1:]), strict=True):
        draw(drawn, path)
    both, time = (path.read_text(encoding="utf-8") for path in paths)
    assert "axes_2" in both
    assert "axes_2" not in time


def test_the_table_is_written_into_the_page(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[str, str] = {}
    monkeypatch.setattr(sizes, "RUNS", 1)
    monkeypatch.setattr(sizes, "SHIPPED_MODEL", tiny_artifact)
    monkeypatch.setattr(sizes, "FIGURES", tmp_path)
    monkeypatch.setattr(sizes, "replace_block", written.__setitem__)
    sizes.main([str(tiny_artifact), "--random", "8,16", "--write"])
    assert written["sizes"].count("| random weights |") == 2
    assert "processors, " in written["sizes"]
    assert (tmp_path / "sizes.svg").exists()
