"""Progress of long work, as a log shows it."""

import logging

import pytest

from model.progress import Progress, duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "1 s"), (119, "119 s"), (600, "10 min"), (3599, "1 h 0 min"), (4000, "1 h 7 min")],
)
def test_a_duration_is_told_as_coarsely_as_an_estimate_deserves(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_a_log_says_early_how_long_it_will_take_and_at_the_end_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 1.0, 3.0, 4.0, 40.0])
    monkeypatch.setattr("model.progress.time.monotonic", lambda: next(clock))
    with Progress("training", 40) as counted:
        for done in (1, 2, 1, 36):
            counted.step(done, loss=0.5)
    assert caplog.messages == [
        "training: 3 of 40, 1.0 a second, about 37 s left, loss 0.5",
        "training: 40 of 40, 1.0 a second, loss 0.5",
    ]
