"""One client never shuts out another: what is admitted, encoded and dropped."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from model.classifier import Classifier, Prediction
from model.engines import BATCH_IDS, Logits
from model.errors import TextLimitError
from model.text.encoding import Encoding
from service.errors import QueueFullError
from service.inference.batcher import Batcher
from service.inference.outcome import BatchOutcome
from service.inference.throughput import Throughput
from service.settings import load_settings
from tests.support.clock import until
from tests.support.held import HeldEngine, held, unobserved

SHORT, LONG = "房间很好", "房间很好，" * 1500


def known(seconds_per_id: float) -> Throughput:
    """An engine of a known speed."""
    throughput = Throughput()
    throughput.observe(16, 1, 1.0)
    throughput.observe(16, 10**6, 10**6 * 16 * seconds_per_id)
    return throughput


async def test_a_queue_that_would_take_too_long_refuses_one_text_and_a_batch_alike(
    tiny_classifier: Classifier,
) -> None:
    classifier, engine = held(tiny_classifier)
    batcher = Batcher(classifier, load_settings(), unobserved, known(seconds_per_id=0.01))
    tasks: list[asyncio.Task[BatchOutcome]] = []
    while not batcher.saturated:  # by time, long before the queue is full
        client = f"client {len(tasks)}"
        tasks.append(asyncio.create_task(batcher.submit([SHORT] * 8, client)))
        await until(lambda: batcher.texts == 8 * len(tasks))
    assert BATCH_IDS < batcher.texts * 3 < 2 * BATCH_IDS
    assert batcher.wait_seconds() > 0.5
    for texts in ([SHORT], [SHORT] * 3):
        with pytest.raises(QueueFullError, match="too many texts are waiting"):
            await batcher.submit(texts, "newcomer")
    engine.released.set()
    await asyncio.gather(*tasks)
    assert not batcher.saturated
    assert len((await batcher.submit([SHORT], "newcomer")).outcomes) == 1
    await batcher.close()


async def test_work_that_cannot_be_done_by_its_deadline_is_refused_before_it_is_begun(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(tiny_classifier, load_settings(), unobserved, known(0.01))
    encoded: list[str] = []
    monkeypatch.setattr(batcher, "_encode", encoded.append)
    with pytest.raises(QueueFullError, match="would not be read within 5 s"):
        await batcher.submit([LONG] * 16)
    assert encoded == []
    await batcher.close()


class Counted:
    """What a classifier encodes, a text at a time, each once it may."""

    def __init__(self, classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.allowed = threading.Semaphore(0)
        self._encode = classifier.encode
        monkeypatch.setattr(classifier, "encode", self.encode)

    def encode(self, text: str) -> Encoding:
        self.allowed.acquire()
        encoding = self._encode(text)
        self.texts.append(text)
        return encoding


async def test_one_client_s_work_leaves_time_for_that_of_others(
    tiny_classifier: Classifier,
) -> None:
    classifier, engine = held(tiny_classifier)
    settings = load_settings(deadline_seconds=60, max_queue_seconds=60)
    batcher = Batcher(classifier, settings, unobserved, known(0.0002))
    tasks = [asyncio.create_task(batcher.submit([SHORT], "first"))]
    await asyncio.to_thread(engine.entered.wait, 30)

    async def admitted(client: str) -> int:
        """How many long texts, of about a second each, one a request."""
        before = len(tasks)
        while True:
            wait = batcher.wait_seconds(client)
            asking = asyncio.create_task(batcher.submit([LONG], client))
            await until(lambda: asking.done() or batcher.wait_seconds(client) > wait)  # noqa: B023
            if asking.done():
                assert isinstance(asking.exception(), QueueFullError)
                return len(tasks) - before
            tasks.append(asking)

    greedy, other, third = [await admitted(client) for client in ("a", "b", "c")]
    assert 60 > greedy > other > third > 2
    assert greedy < 1.2 * (other + third + third)
    engine.released.set()
    await asyncio.gather(*tasks)
    await batcher.close()


async def test_clients_take_turns_in_being_encoded(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, engine = held(tiny_classifier)
    engine.released.set()
    counted = Counted(classifier, monkeypatch)
    batcher = Batcher(
        classifier, load_settings(deadline_seconds=3600, max_queue_seconds=3600), unobserved
    )
    long = [f"{LONG}{number}" for number in range(8)]
    tasks = [asyncio.create_task(batcher.submit(long, "greedy")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(batcher.submit([SHORT * 500], "polite")))
    await asyncio.sleep(0)
    counted.allowed.release(100)
    await asyncio.gather(*tasks)
    assert SHORT * 500 in counted.texts[:2]
    # The requests of a client take turns too.
    assert counted.texts.index(long[0]) < counted.texts.index(long[1])
    assert counted.texts[2:4].count(long[0]) == 2
    await batcher.close()


async def test_a_batch_that_nobody_waits_for_is_encoded_no_further(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, engine = held(tiny_classifier)
    engine.released.set()
    counted = Counted(classifier, monkeypatch)
    batcher = Batcher(
        classifier, load_settings(deadline_seconds=3600, max_queue_seconds=3600), unobserved
    )
    leaving = asyncio.create_task(batcher.submit([LONG] * 50, "leaves"))
    counted.allowed.release()
    await until(lambda: counted.texts)
    leaving.cancel()
    await until(leaving.done)
    counted.allowed.release(100)
    await batcher.submit([SHORT * 500], "stays")
    assert len(counted.texts) <= 3  # the one that was being encoded meanwhile
    assert batcher.texts == 0
    await batcher.close()


async def test_explanations_are_bulk_work_and_refuse_nobody(tiny_classifier: Classifier) -> None:
    class HeldAfterTheFirst(HeldEngine):
        """Answers for a text, and is held where its tokens are left out."""

        def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
            return self.engine.logits(batch) if len(batch) == 1 else super().logits(batch)

    engine = HeldAfterTheFirst(tiny_classifier.engine)
    classifier = Classifier(tiny_classifier.artifact, engine, threads=1)
    settings = load_settings(deadline_seconds=60)
    batcher = Batcher(classifier, settings, unobserved, known(0.0004))
    explaining = asyncio.create_task(batcher.explain("好房间" * 40))
    await asyncio.to_thread(engine.entered.wait, 30)
    # All that waits takes seconds, far longer than a request may wait; it waits for a run.
    assert batcher.wait_seconds() < 2 * BATCH_IDS * 0.0004
    assert not batcher.saturated
    assert batcher.wait_seconds() > 0
    engine.released.set()
    await explaining
    await batcher.close()


async def test_texts_over_their_limit_are_refused_as_such_however_long(
    tiny_classifier: Classifier,
) -> None:
    batcher = Batcher(tiny_classifier, load_settings(), unobserved, known(0.01))
    answer = await batcher.submit([LONG * 100, SHORT, LONG * 2])
    assert [type(outcome) for outcome in answer.outcomes] == [
        TextLimitError,
        Prediction,
        TextLimitError,
    ]
    await batcher.close()
