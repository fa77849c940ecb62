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
from service.exchange import client_of
from service.inference.batcher import Batcher
from service.inference.explainer import Explainer
from service.settings import load_settings
from tests.support.clock import until
from tests.support.held import HeldEngine, held, unobserved
from tests.support.throughput import known

SHORT, LONG = "房间很好", "房间很好，" * 1500


async def test_work_that_cannot_be_done_by_its_deadline_is_refused_before_it_is_begun(
    tiny_classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(tiny_classifier, load_settings(), unobserved, known(0.01))
    encoded: list[str] = []
    monkeypatch.setattr(tiny_classifier, "encode", encoded.append)
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
    assert batcher.admission.texts == 0
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
    explainer = Explainer(classifier, batcher, settings)
    explaining = asyncio.create_task(explainer.explain("好房间" * 40))
    await asyncio.to_thread(engine.entered.wait, 30)
    # All that waits takes seconds, far longer than a request may wait; it waits for a run.
    assert batcher.admission.wait_seconds() < 2 * BATCH_IDS * 0.0004
    assert not batcher.admission.saturated
    assert batcher.admission.wait_seconds() > 0
    engine.released.set()
    await explaining
    await batcher.close()


async def test_the_readings_of_an_explanation_are_counted_before_they_are_queued(
    tiny_classifier: Classifier,
) -> None:
    """The text alone could be read in time; without each of its clauses, it could not."""
    settings = load_settings(deadline_seconds=60)
    runs: list[int] = []
    batcher = Batcher(tiny_classifier, settings, runs.append, known(0.004))
    explainer = Explainer(tiny_classifier, batcher, settings)
    with pytest.raises(QueueFullError, match="would not be read within 60 s"):
        await explainer.explain(LONG)
    windows = len(tiny_classifier.encode(LONG).windows)
    assert sum(runs) == windows
    assert batcher.admission.texts == 0
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


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),  # as a proxy writes that listens to both kinds
        ("unknown:", "unknown:"),
    ],
)
def test_whose_an_address_is(address: str, client: str) -> None:
    assert client_of(address) == client
