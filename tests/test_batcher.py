"""The batcher: bounded in number and in time, and what it drops leaves no trace."""

import asyncio
import time

import pytest

from model.classifier import Classifier
from model.engine_threads import HANG_SECONDS
from model.engines import BATCH_SIZE
from model.errors import BlankTextError
from service.errors import DeadlineError, QueueFullError
from service.inference.batcher import Batcher
from service.outcome import prediction_of
from service.settings import load_settings
from tests.support.clock import until
from tests.support.held import HeldEngine, held, unobserved


async def test_a_full_queue_refuses_one_text_and_a_batch_alike(tiny_classifier: Classifier) -> None:
    classifier, engine = held(tiny_classifier)
    batcher = Batcher(classifier, load_settings(max_queue_texts=4, max_items=4), unobserved)
    clients = {"first": 2, "second": 1, "third": 1}
    tasks = [
        asyncio.create_task(batcher.submit(["好"] * texts, client))
        for client, texts in clients.items()
    ]
    await until(lambda: batcher.admission.saturated)
    assert batcher.admission.texts == 4
    for texts in (["好"], ["好"] * 3):
        with pytest.raises(QueueFullError):
            await batcher.submit(texts, "fourth")
    engine.released.set()
    assert [len((await task).outcomes) for task in tasks] == list(clients.values())
    assert not batcher.admission.saturated
    await batcher.submit(["好"] * 4)
    await batcher.close()


async def test_a_deadline_drops_work_that_has_not_begun(tiny_classifier: Classifier) -> None:
    classifier, engine = held(tiny_classifier)
    batcher = Batcher(classifier, load_settings(deadline_seconds=0.5), unobserved)
    running = asyncio.create_task(batcher.submit(["好"]))
    await asyncio.to_thread(engine.entered.wait, 10)
    waiting = asyncio.create_task(batcher.submit(["好"]))
    for task in (running, waiting):
        with pytest.raises(DeadlineError, match=r"no answer within 0\.5 s"):
            await task
    engine.released.set()
    await batcher.close()
    assert engine.runs == 1


async def test_a_caller_that_goes_away_frees_its_place(tiny_classifier: Classifier) -> None:
    classifier, engine = held(tiny_classifier)
    batcher = Batcher(classifier, load_settings(max_queue_texts=2, max_items=2), unobserved)
    running = asyncio.create_task(batcher.submit(["好"], "one"))
    await asyncio.to_thread(engine.entered.wait, 10)
    waiting = asyncio.create_task(batcher.submit(["好"], "another"))
    await until(lambda: batcher.admission.texts == 2)
    assert batcher.admission.saturated
    waiting.cancel()
    await until(lambda: batcher.admission.texts == 1)
    assert not batcher.admission.saturated
    engine.released.set()
    await running
    await batcher.close()
    assert engine.runs == 1


async def test_requests_that_wait_run_together_up_to_a_limit(tiny_classifier: Classifier) -> None:
    classifier, engine = held(tiny_classifier)
    runs: list[int] = []
    batcher = Batcher(classifier, load_settings(max_batch_texts=4), runs.append)
    first = asyncio.create_task(batcher.submit(["好"]))
    await asyncio.to_thread(engine.entered.wait, 10)
    texts = [["差"], ["\n", "房间很好"], ["好"], ["好"], ["好"] * 9]
    waiting = [asyncio.create_task(batcher.submit(some)) for some in texts]
    await until(lambda: batcher.admission.texts == 1 + sum(map(len, texts)))
    engine.released.set()
    answers = [await task for task in (first, *waiting)]
    assert runs == [1, 4, 1, 4, 4]
    alone = next(tiny_classifier.predict(["差"]))
    assert prediction_of(answers[1].outcomes[0]).label == alone.label
    assert isinstance(answers[2].outcomes[0], BlankTextError)
    assert prediction_of(answers[2].outcomes[1]).encoding.characters == 4
    await batcher.close()


async def test_one_request_uses_every_thread(tiny_classifier: Classifier) -> None:
    engine = HeldEngine(tiny_classifier.engine)
    batcher = Batcher(
        Classifier(tiny_classifier.artifact, engine, threads=2), load_settings(), unobserved
    )
    answering = asyncio.create_task(batcher.submit(["好"] * (3 * BATCH_SIZE)))
    await until(lambda: engine.running == 2)
    engine.released.set()
    assert len((await answering).outcomes) == 3 * BATCH_SIZE
    await batcher.close()


async def test_long_texts_are_encoded_beside_the_event_loop(tiny_classifier: Classifier) -> None:
    batcher = Batcher(tiny_classifier, load_settings(), unobserved)
    texts = ["房间很好" * 2000, "好", "\n"]
    outcomes = (await batcher.submit(texts)).outcomes
    assert prediction_of(outcomes[0]).encoding.characters == 8000
    assert isinstance(outcomes[2], BlankTextError)
    await batcher.close()


async def test_an_inference_that_hangs_is_noticed_and_keeps_nobody_from_ending(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, engine = held(tiny_classifier)
    batcher = Batcher(classifier, load_settings(deadline_seconds=0.2), unobserved)
    with pytest.raises(DeadlineError):
        await batcher.submit(["好"])
    assert not batcher.hangs
    later = time.monotonic() + HANG_SECONDS + 1
    with monkeypatch.context() as patched:
        patched.setattr("time.monotonic", lambda: later)
        assert batcher.hangs
    await batcher.close()
    engine.released.set()


async def test_threads_run_where_priorities_may_not_be_set(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    batcher = Batcher(tiny_classifier, load_settings(), unobserved)
    assert len((await batcher.submit(["好"])).outcomes) == 1
    await batcher.close()

    monkeypatch.setattr("os.setpriority", refuse)


async def test_an_unexpected_error_reaches_every_caller_and_the_next_is_answered(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(tiny_classifier, load_settings(), unobserved)
    with monkeypatch.context() as patched:
        patched.setattr(tiny_classifier, "probabilities", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await batcher.submit(["好"] * 100)
    assert len((await batcher.submit(["好"])).outcomes) == 1
    await batcher.close()


async def test_a_deadline_stops_a_batch_that_has_begun(tiny_classifier: Classifier) -> None:
    classifier, engine = held(tiny_classifier)
    batcher = Batcher(classifier, load_settings(deadline_seconds=0.2), unobserved)
    with pytest.raises(DeadlineError):
        await batcher.submit(["好"] * (5 * BATCH_SIZE))
    engine.released.set()
    await batcher.close()
    assert engine.runs == 1
