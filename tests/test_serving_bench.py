"""What the comparison with other services computes from what it measures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cores import Cost, Setting, predict, report, settings
from bench.serving.load import Load
from bench.serving.processors import Split, pinned, siblings, split
from bench.serving.report import millions_per_euro, tables
from bench.serving.results import CONNECTIONS, Results, Round, SystemResult, figures
from bench.serving.servers import EMPTY, ONNX, Memory
from bench.serving.texts import BATCH, write_bodies, write_lists

LOAD = Load(
    answers=11_000,
    seconds=10,
    refused=1_000,
    broken=0,
    p50_ms=1.0,
    p99_ms=2.0,
    server_cpu_seconds=5,
    loop_cpu_seconds=3,
    wrk_cpu_seconds=0.5,
)
ANSWER = Cost(loop=0.0004, engine=0.0006, wrk=0.0002)


def result(load: Load, batches: Load | None = None) -> SystemResult:
    loads = dict.fromkeys(CONNECTIONS, load)
    return SystemResult(0.5, 100, [Round(loads, batches, Memory(rss=190, pss=180))])


def test_refused_requests_are_no_texts_that_a_processor_answered() -> None:
    assert LOAD.per_core_second == 2_000
    assert result(LOAD).texts_per_core_second() == 2_000
    assert result(LOAD).batch_texts_per_core_second() is None
    assert result(LOAD, LOAD).batch_texts_per_core_second() == 64_000
    assert millions_per_euro(2_000, price=0.04) == pytest.approx(180)


def test_the_tables_have_as_many_cells_as_headings() -> None:
    results = Results({ONNX.name: result(LOAD, LOAD), EMPTY.name: result(LOAD)})
    for table in tables(results, price=0.08).split("\n\n"):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| ours, onnx | 2,000 | 90.0 | 64,000 | 2,880 |" in tables(results, price=0.08)
    assert "| empty FastAPI | 2,000 | 90.0 | - | - |" in tables(results, price=0.08)


def test_the_model_is_compared_with_an_earlier_one_only_if_one_was_measured() -> None:
    ours = {ONNX.name: result(LOAD, LOAD)}
    without = figures(Results(ours, together_rates=[3_000]))
    results = Results(ours, together_rates=[3_300])
    results.previous, results.previous_rates = "zh-general 1.1.0", [1_000, 1_200]
    (figure,) = (f for f in figures(results) if f.name not in {one.name for one in without})
    assert "zh-general 1.1.0" in figure.name
    assert (figure.reached, figure.met) == (3.0, True)


@pytest.mark.parametrize(
    ("available", "core", "server", "load"),
    [
        ({0, 1}, {1}, {0, 1}, {0, 1}),
        ({0, 1, 2}, {2}, {0, 1, 2}, {0, 1, 2}),
        ({0, 1, 2, 3}, {3}, {0, 1, 2}, {3}),
        ({0, 1, 2, 3}, {2, 3}, {0, 1}, {2, 3}),
        ({0, 2, 4, 6}, {6, 7}, {0, 2, 4}, {6}),  # the other thread is not ours to use
        ({0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2}, {3}),
    ],
)
def test_the_load_has_a_core_of_its_own_from_four_processors_on(
    available: set[int], core: set[int], server: set[int], load: set[int]
) -> None:
    assert split(available, core) == Split(server, load)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins processes")
def test_what_is_started_while_pinned_stays_there() -> None:
    before = os.sched_getaffinity(0)
    last = max(before)
    assert last in siblings(last)
    command = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
    with pinned({last}):
        assert subprocess.check_output(command, text=True).strip() == str({last})
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    ("setting", "rate"),
    [
        (Setting(1, 1), 1_000),  # the only processor is busy
        (Setting(2, 1), 2_000),
        (Setting(4, 1), 2_500),  # the event loop is
        (Setting(16, 1), 2_500),
        (Setting(16, 16), 16_000),
        (Setting(3, 3, shared=True), 2_500),  # wrk takes its part
    ],
)
def test_processors_or_the_event_loop_bound_the_rate(setting: Setting, rate: float) -> None:
    assert predict(setting, ANSWER) == pytest.approx(rate)


def test_what_this_machine_cannot_measure_is_predicted() -> None:
    measured = Setting(1, 1)
    assert settings(2)[:3] == [measured, Setting(2, 1, shared=True), Setting(2, 2, shared=True)]
    lines = report({measured: LOAD}, available=2).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == "| 1 | 1 | apart | 2,000 | 1,000 | 300 | 200 | 50 |"
    assert lines[-1] == "| 16 | 16 | apart | 32,000 | – | – | – | – |"


def test_a_service_of_the_comparison_reads_the_bodies_written_for_it(tmp_path: Path) -> None:
    texts = [f"第{number}条" for number in range(2 * BATCH + 1)]
    bodies, lists = write_bodies(texts, tmp_path), write_lists(texts, tmp_path)
    assert bodies.singles.read_text("utf-8").splitlines()[0] == '{"text": "第0条"}'
    assert lists.singles.read_text("utf-8").splitlines()[0] == '{"texts": ["第0条"]}'
    for batches in (bodies.batches, lists.batches):
        lines = batches.read_text("utf-8").splitlines()
        assert [line.count("条") for line in lines] == [BATCH, BATCH]
