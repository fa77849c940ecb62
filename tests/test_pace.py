"""The pace of the queue, with a clock that the test turns."""

import asyncio

import pytest

from model.classifier import Classifier
from service.batcher import Batcher
from service.pace import Pace
from service.settings import load_settings
from tests.test_batcher import assert_refuses, held, unobserved


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("service.pace.time.perf_counter", lambda: now[0])
    return now


def test_nothing_is_known_at_first() -> None:
    assert Pace(1).seconds_per_text == 0


def test_idle_time_does_not_count(clock: list[float]) -> None:
    measured = Pace(4)
    for _ in range(3):
        measured.begin()
        clock[0] += 1
        measured.leave(4, 4)
        clock[0] += 1000
    assert measured.seconds_per_text == pytest.approx(0.25)


def test_a_queue_with_hardly_anybody_tells_nothing(clock: list[float]) -> None:
    measured = Pace(4)
    measured.begin()
    clock[0] += 1
    measured.leave(1, 3)
    assert measured.seconds_per_text == 0
    clock[0] += 0.1
    measured.leave(1, 4)
    assert measured.seconds_per_text == pytest.approx(0.1)


def test_time_in_which_nobody_was_answered_counts(clock: list[float]) -> None:
    measured = Pace(1)
    measured.begin()
    for answered in (1, 0):
        clock[0] += 1
        measured.leave(answered, 5)
    assert measured.seconds_per_text == pytest.approx(2, rel=0.02)


def test_clients_that_leave_unanswered_do_not_make_it_seem_slow(clock: list[float]) -> None:
    measured = Pace(1)
    measured.begin()
    for answered in [1] * 500 + [0] * 1000:
        clock[0] += 0.001 if answered else 0.0001
        measured.leave(answered, 50)
    assert measured.seconds_per_text < 0.01


def test_texts_that_leave_together_share_their_time(clock: list[float]) -> None:
    measured = Pace(1)
    measured.begin()
    for _ in range(500):
        clock[0] += 0.3
        for _ in range(3):
            measured.leave(1, 3)
    assert measured.seconds_per_text == pytest.approx(0.1, rel=0.05)


def test_a_new_pace_is_learnt(clock: list[float]) -> None:
    measured = Pace(1)
    measured.begin()
    for seconds in (1.0, 0.01):
        for _ in range(1000):
            clock[0] += seconds
            measured.leave(1, 1)
    assert measured.seconds_per_text == pytest.approx(0.01, rel=0.05)


def test_a_queue_that_would_take_too_long_refuses_one_text_and_a_batch_alike(
    tiny_classifier: Classifier, clock: list[float]
) -> None:
    async def scenario() -> None:
        classifier, engine = held(tiny_classifier)
        batcher = Batcher(classifier, load_settings(queue_seconds=0.5, batch_texts=1), unobserved)
        slow = asyncio.create_task(batcher.submit(["好"]))
        await asyncio.to_thread(engine.entered.wait, 10)
        clock[0] += 0.3  # what a text takes
        engine.released.set()
        await slow
        await asyncio.sleep(0.05)
        engine.released.clear()
        waiting = asyncio.create_task(batcher.submit(["好"]))
        await asyncio.sleep(0.05)
        assert not batcher.saturated
        second = asyncio.create_task(batcher.submit(["好"]))
        await asyncio.sleep(0.05)
        assert batcher.saturated
        await assert_refuses(batcher)
        engine.released.set()
        await asyncio.gather(waiting, second)
        await asyncio.sleep(0.05)
        assert not batcher.saturated
        await batcher.close()

    asyncio.run(scenario())


def test_a_request_waits_for_as_many_texts_of_streams_as_of_requests(
    tiny_classifier: Classifier, clock: list[float]
) -> None:
    async def scenario() -> None:
        classifier, engine = held(tiny_classifier)
        settings = load_settings(queue_seconds=1.0, batch_texts=1, deadline_seconds=60)
        batcher = Batcher(classifier, settings, unobserved)
        slow = asyncio.create_task(batcher.submit(["好"]))
        await asyncio.to_thread(engine.entered.wait, 10)
        clock[0] += 0.3  # what a text takes
        engine.released.set()
        await slow
        engine.released.clear()
        # 30 seconds' work are 100 texts, and a third chunk waits for room.
        streamed = [asyncio.create_task(batcher.submit_in_turn(["好"] * 50)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert batcher.texts == 100
        assert batcher.wait_seconds == pytest.approx(0.3)  # a run of one text
        requested = asyncio.create_task(batcher.submit(["好"]))
        await asyncio.sleep(0.05)
        assert batcher.wait_seconds == pytest.approx(0.9)
        assert not batcher.saturated
        second = asyncio.create_task(batcher.submit(["好"]))
        await asyncio.sleep(0.05)
        assert batcher.saturated
        engine.released.set()
        await asyncio.gather(*streamed, requested, second)
        await batcher.close()

    asyncio.run(scenario())


def test_after_a_stall_the_queue_grows_busy_again_and_the_pace_is_learnt_anew(
    tiny_classifier: Classifier, clock: list[float]
) -> None:
    async def scenario() -> None:
        classifier, engine = held(tiny_classifier)
        batcher = Batcher(classifier, load_settings(queue_seconds=0.5, batch_texts=4), unobserved)
        stalled = asyncio.create_task(batcher.submit(["好"] * 4))
        await asyncio.to_thread(engine.entered.wait, 10)
        clock[0] += 10
        engine.released.set()
        await stalled
        assert batcher.wait_seconds == 0
        for _ in range(400):
            clock[0] += 0.001
            texts = [batcher.submit(["好"]) for _ in range(4)]
            await asyncio.gather(*texts)
        assert not batcher.saturated
        clock[0] += 0.001
        engine.released.clear()
        waiting = [asyncio.create_task(batcher.submit(["好"])) for _ in range(20)]
        await asyncio.sleep(0.05)
        assert not batcher.saturated
        engine.released.set()
        await asyncio.gather(*waiting)
        await batcher.close()

    asyncio.run(scenario())
