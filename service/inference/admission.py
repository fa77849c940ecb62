"""Which texts may join the queue: by their number, their client's share and the expected wait."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from model.engines import BATCH_IDS
from service.errors import QUEUE_FULL, QueueFullError
from service.inference.client_locks import ClientLocks
from service.inference.fair_share import FairShare
from service.inference.loop_pace import LoopPace, loop_work
from service.inference.throughput import Throughput
from service.inference.window_queue import WindowQueue
from service.settings import Settings

# Of the longest wait, the share that may be work of the event loop: a text waits for the loop to
# receive it, to take its result, and to answer, each time behind whatever else has arrived.
_LOOP_SHARE = 0.2
# However slow the loop seems, so much of its work may be in flight: several requests of several
# clients. Hostile requests, which cost much and bring few texts, would shut out others otherwise.
_MIN_LOOP_WORK = 256
# The client of a request whose client does not matter.
ANYBODY = "anybody"


class Admission:
    """Refuses at once what has no chance, so that no client's work shuts out another's.

    A request is refused if ``max_queue_texts`` texts are in flight already, or as many of its
    client as ``FairShare`` allows; if even a short text would wait for longer than
    ``max_queue_seconds``, for the event loop or for the engine; and if it would not itself be done
    by its deadline. Streams are bulk work: they wait for room instead.
    """

    def __init__(
        self,
        settings: Settings,
        queue: WindowQueue[Any],
        throughput: Throughput,
        pace: LoopPace,
        lock: AbstractContextManager[Any],
    ) -> None:
        """Hold ``lock`` while the queue's windows are counted by client."""
        self._settings = settings
        self._queue = queue
        self._throughput = throughput
        self._pace = pace
        self._lock = lock
        self._texts = FairShare()  # in flight: they wait or run
        self._loop_work = FairShare()  # of the requests in flight
        self._bulk_texts = 0
        self._released = asyncio.Event()
        # A client has one chunk of a stream at a time that waits for room.
        self._bulk_locks = ClientLocks()

    @property
    def texts(self) -> int:
        """Texts in flight: they wait or run."""
        return self._texts.total

    @property
    def saturated(self) -> bool:
        """Whether not even one short text of a client without any would be admitted."""
        return not self.has_room()

    def wait_seconds(self, client: str = ANYBODY) -> float:
        """Return the expected wait of a short text of the client that came now."""
        with self._lock:
            return self._queue.ids_ahead(client) * self._throughput.seconds_per_id

    def has_room(self, client: str = ANYBODY, texts: int = 1) -> bool:
        """Return whether this many further texts of the client would be admitted now."""
        limit = self._settings.max_queue_texts
        if not self._texts.total:
            return texts <= limit
        if not self._texts.admits(client, texts, limit, small=self._settings.max_batch_texts):
            return False
        seconds = _LOOP_SHARE * self._settings.max_queue_seconds
        if not self._loop_work.admits(
            client,
            loop_work(texts),
            max(_MIN_LOOP_WORK, seconds / self._pace.seconds_per_text),
            small=loop_work(self._settings.max_batch_texts),
        ):
            return False
        # What fits into one run is never too much, however slow the engine seems: otherwise a
        # wrong estimate of its speed would refuse all that could correct it.
        waiting = self._queue.queued(bulk=False).total + self._queue.queued(bulk=True).total
        return waiting <= BATCH_IDS or self.wait_seconds(client) <= self._settings.max_queue_seconds

    def check_room(self, client: str = ANYBODY, texts: int = 1) -> None:
        """Check that this many further texts of the client would be admitted now.

        Raises:
            QueueFullError: they would not.
        """
        if not self.has_room(client, texts):
            raise QueueFullError(QUEUE_FULL)

    def check_time(self, client: str, ids: float, seconds: float, *, bulk: bool = False) -> None:
        """Check that this many ids would be read within ``seconds``, at the present speed.

        Beside what waits in their own class, as much of the other class is read before them.

        Raises:
            QueueFullError: they would not, or they would leave others too little time.
        """
        seconds_per_id = self._throughput.seconds_per_id
        if not seconds_per_id or ids <= BATCH_IDS or seconds == math.inf:
            return
        queued = self._queue.queued(bulk=bulk)
        others = min(self._queue.queued(bulk=not bulk).total, queued.total + ids)
        if not queued.admits(client, int(ids), seconds / seconds_per_id - others):
            raise QueueFullError(
                f"the texts would not be read within {self._settings.deadline_seconds:g} s beside "
                "what is waiting; send fewer at a time, or a stream"
            )

    def acquire(self, client: str, texts: int) -> None:
        """Take places for texts of the client, whether there is room or not."""
        self._texts.acquire(client, texts)
        self._loop_work.acquire(client, loop_work(texts))

    def release(self, client: str, texts: int) -> None:
        """Give places back."""
        self._texts.release(client, texts)
        self._loop_work.release(client, loop_work(texts))
        self._pace.count(loop_work(texts))
        self._released.set()

    @asynccontextmanager
    async def holding_bulk(self, client: str, texts: int) -> AsyncIterator[None]:
        """Wait until there is room for bulk texts, the client's earlier ones first, and hold it."""
        async with self._bulk_locks.of(client):
            while not self._has_room_for_bulk(texts):
                self._released.clear()
                await self._released.wait()
            self._bulk_texts += texts
        # Bulk work waits for room, so it leaves that of the event loop to requests.
        self._texts.acquire(client, texts)
        try:
            yield
        finally:
            self._texts.release(client, texts)
            self._pace.count(loop_work(texts))
            self._bulk_texts -= texts
            self._released.set()

    def _has_room_for_bulk(self, texts: int) -> bool:
        """Bulk work alone never fills the queue, nor keeps a service from shutting down in time.

        The more of it waits, the more is of similar length: too little costs the engine a third.
        """
        settings = self._settings
        if self._texts.total + texts > settings.max_queue_texts:
            return False
        seconds = self._queue.queued(bulk=True).total * self._throughput.seconds_per_id
        return not self._bulk_texts or (
            seconds <= settings.deadline_seconds / 2
            and self._bulk_texts + texts <= settings.max_queue_texts / 4
        )
