"""The speed of the engine, learnt from the time of its runs."""

import pytest

from service.inference.loop_pace import LoopPace
from service.inference.throughput import Throughput


def test_nothing_is_known_at_first() -> None:
    assert Throughput().seconds_per_id == 0


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_runs_of_any_size_tell_the_same(rows: int) -> None:
    throughput = Throughput()
    # 26 microseconds a step and 10 a row of it, as measured on a processor with AMX.
    throughput.observe(rows, 30, 30 * (26e-6 + rows * 10e-6))
    assert throughput.seconds_per_id == pytest.approx(30 * (26e-6 + 160e-6) / 480, rel=0.02)


def test_several_threads_share_the_work() -> None:
    one, two = Throughput(1), Throughput(2)
    for throughput in (one, two):
        throughput.observe(16, 30, 0.01)
    assert one.seconds_per_id == pytest.approx(2 * two.seconds_per_id)


def test_a_stall_is_forgotten() -> None:
    throughput = Throughput()
    throughput.observe(16, 30, 0.01)
    usual = throughput.seconds_per_id
    throughput.observe(16, 30, 10.0)
    assert throughput.seconds_per_id > 100 * usual
    for _ in range(600):
        throughput.observe(16, 30, 0.01)
    assert throughput.seconds_per_id == pytest.approx(usual, rel=0.05)


def test_a_busy_loop_tells_what_a_text_costs_and_an_idle_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = {"perf_counter": 0.0, "thread_time": 0.0}
    for clock in now:
        monkeypatch.setattr(f"time.{clock}", lambda clock=clock: now[clock])
    pace = LoopPace()
    first = pace.seconds_per_text
    for _ in range(50):  # one text in a tenth of a second that had little else to do
        pace.count(1)
        now["perf_counter"] += 0.1
        now["thread_time"] += 0.001
        pace.look()
    assert pace.seconds_per_text == first
    for _ in range(50):
        pace.count(90)
        for _ in range(20):  # refusals count as the fraction that they cost
            pace.count_refusal()
        now["perf_counter"] += 0.1
        now["thread_time"] += 0.1
        pace.look()
    assert pace.seconds_per_text == pytest.approx(0.001, rel=0.01)
