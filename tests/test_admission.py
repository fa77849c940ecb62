"""Which texts may join the queue, told without threads, event loop or clock."""

import contextlib
from collections.abc import Sequence

import pytest

from model.engines import BATCH_IDS
from service.errors import QueueFullError
from service.inference.admission import Admission
from service.inference.loop_pace import LoopPace
from service.inference.throughput import Throughput
from service.inference.window_queue import Entry, WindowQueue
from service.settings import load_settings
from tests.support.throughput import known

SHORT, LONG = [2], [200] * 22  # the lengths of their windows; a long one takes about a second


class Queue:
    """A queue, and what admits texts to it; nothing ever runs."""

    def __init__(self, seconds_per_id: float | None = None, **changes: float) -> None:
        throughput = Throughput() if seconds_per_id is None else known(seconds_per_id)
        settings = load_settings(**changes)
        self.seconds = settings.deadline_seconds
        self.windows: WindowQueue[Entry] = WindowQueue(settings.max_batch_texts)
        self.pace = LoopPace()
        self.admission = Admission(
            settings, self.windows, throughput, self.pace, contextlib.nullcontext()
        )
        self._held = contextlib.ExitStack()

    def join(self, client: str, *texts: Sequence[int], bulk: bool = False) -> None:
        """Queue a request of texts, given by the lengths of their windows.

        Raises:
            QueueFullError: it is refused.
        """
        lengths = [length for text in texts for length in text]
        self.admission.check_room(client, len(texts))
        self.admission.check_time(client, sum(lengths), self.seconds, bulk=bulk)
        self.admission.acquire(client, len(texts))
        self._held.callback(self.admission.release, client, len(texts))
        entry = Entry(client, {row: (1,) * length for row, length in enumerate(lengths)})
        self.windows.add(entry, bulk=bulk)

    def fill(self, client: str, *texts: Sequence[int]) -> int:
        """Queue the same request again and again; return how often it was admitted."""
        for times in range(10_000):
            try:
                self.join(client, *texts)
            except QueueFullError:
                return times
        raise AssertionError("it is always admitted")

    def empty(self) -> None:
        """Take out everything, as if it had run."""
        while self.windows.take():
            pass
        self._held.close()


def test_a_full_queue_refuses_one_text_and_a_batch_alike() -> None:
    queue = Queue(max_queue_texts=4, max_items=4)
    for client, texts in {"first": 2, "second": 1, "third": 1}.items():
        queue.join(client, *[SHORT] * texts)
    assert queue.admission.texts == 4
    assert queue.admission.saturated
    for texts in (1, 3):
        with pytest.raises(QueueFullError, match="too many texts are waiting"):
            queue.join("fourth", *[SHORT] * texts)
    queue.empty()
    assert not queue.admission.saturated
    queue.join("fourth", *[SHORT] * 4)


def test_a_client_leaves_places_to_others_and_large_requests_leave_some_to_small_ones() -> None:
    queue = Queue(max_queue_texts=256, max_items=64, max_batch_texts=4)
    assert queue.fill("greedy", *[SHORT] * 32) == 3  # each half of what is left of 128
    assert queue.fill("greedy", SHORT) == 32  # the rest
    assert queue.fill("other", SHORT) == 64
    assert queue.fill("third", SHORT) == 32
    queue.empty()
    assert queue.admission.texts == 0


def test_a_queue_that_would_take_too_long_refuses_one_text_and_a_batch_alike() -> None:
    queue = Queue(seconds_per_id=0.01)
    clients = 0
    while not queue.admission.saturated:  # by time, long before the queue is full
        queue.join(f"client {clients}", *[SHORT] * 8)
        clients += 1
    assert BATCH_IDS < queue.admission.texts * 2 < 2 * BATCH_IDS
    assert queue.admission.wait_seconds() > 0.5
    for texts in (1, 3):
        with pytest.raises(QueueFullError, match="too many texts are waiting"):
            queue.join("newcomer", *[SHORT] * texts)
    queue.empty()
    assert not queue.admission.saturated
    queue.join("newcomer", SHORT)


def test_work_that_cannot_be_done_by_its_deadline_is_refused() -> None:
    queue = Queue(seconds_per_id=0.01)
    with pytest.raises(QueueFullError, match="would not be read within 5 s"):
        queue.join("somebody", *[LONG] * 16)
    queue.join("somebody", SHORT)


def test_one_client_s_work_leaves_time_for_that_of_others() -> None:
    queue = Queue(seconds_per_id=0.0002, deadline_seconds=60, max_queue_seconds=60)
    greedy, other, third = [queue.fill(client, LONG) for client in ("a", "b", "c")]
    assert 60 > greedy > other > third > 2
    assert greedy < 1.2 * (other + third + third)


def test_explanations_are_bulk_work_and_refuse_nobody() -> None:
    queue = Queue(seconds_per_id=0.0004, deadline_seconds=60)
    for number in range(8):
        queue.join(f"asks why {number}", [128] * 128, bulk=True)
    # All that waits takes most of a minute; a request waits for one run of it.
    assert 8 * 128 * 128 * 0.0004 > 50
    assert 0 < queue.admission.wait_seconds() < 2 * BATCH_IDS * 0.0004
    assert not queue.admission.saturated
    assert queue.fill("newcomer", SHORT) > 100


def test_what_is_in_flight_is_bounded_by_the_pace_of_the_event_loop() -> None:
    queue = Queue(max_queue_seconds=0.5)
    queue.pace.seconds_per_text = 0.0005
    assert queue.fill("a", SHORT) == 42  # half of what may always be
    assert queue.fill("b", SHORT) == 21
    queue.empty()
    queue.pace.seconds_per_text = 0.00005
    assert queue.fill("a", SHORT) == 333
    queue.empty()
    assert queue.fill("a", *[SHORT] * 32) == 28


def test_a_slow_event_loop_refuses_no_batch_for_its_size() -> None:
    queue = Queue(max_queue_seconds=0.5)
    queue.pace.seconds_per_text = 0.001
    queue.join("b", SHORT)
    queue.join("a", *[SHORT] * 256)
