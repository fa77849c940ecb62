"""The way of texts from the event loop to the engine and back, bounded in number and time."""

import asyncio
import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar
from weakref import WeakValueDictionary

import numpy as np

from model import (
    Classifier,
    Encoding,
    Explanation,
    OcclusionPlan,
    Prediction,
    TextError,
    TextLimitError,
    plan_occlusions,
)
from model.classifier import ProbabilityArray
from model.engines import BATCH_IDS
from model.traced_network import TracedNetwork
from service.errors import DeadlineError, QueueFullError
from service.inference.fair_share import FairShare
from service.inference.outcome import BatchOutcome, Outcome, prediction_of
from service.inference.throughput import Throughput
from service.inference.window_queue import Entry, WindowQueue
from service.settings import Settings

logger = logging.getLogger(__name__)

# No run takes so long: it reads a handful of windows.
HANG_SECONDS = 30.0

_Result = TypeVar("_Result")


# Encoding so many characters takes less than the way to a thread and back costs under load; more
# could hold up the event loop.
_MAX_CHARACTERS_IN_LOOP = 500
# Texts of so many characters together, or one longer text, are encoded before another's turn.
_MAX_CHARACTERS_PER_TURN = 2000
# Markup apart, a text has more ids than this for each of its characters.
_MIN_IDS_PER_CHARACTER = 0.25
# A run ends sooner, unless it hangs and dies with the process.
_JOIN_SECONDS = 0.2

# The client of a request whose client does not matter.
ANYBODY = "anybody"


@dataclass(slots=True, eq=False)
class _Request(Entry):
    """The windows of one request, and what is known of them."""

    bulk: bool
    done: asyncio.Future[None]
    probabilities: ProbabilityArray  # (windows, labels)
    missing: int
    started: float = field(default=math.inf, init=False)
    ended: float = field(default=0.0, init=False)


class Batcher:
    """Runs the engine in threads of its own, each on some of the windows that wait.

    Whoever comes while a thread is idle is answered at once and alone; nobody waits for company.
    Where more wait, ``WindowQueue`` decides which run next: nobody waits for the whole of somebody
    else's work. Streams and the readings of explanations are bulk work, which takes turns with
    requests.

    A request is refused at once where it has no chance: where ``max_queue_texts`` texts are there
    already, or as many of its client as ``FairShare`` allows; where even a short text would wait
    for longer than ``max_queue_seconds``; and where the request itself would not be done by its
    deadline. So one client's work never shuts out another's. Streams wait for room instead.
    """

    def __init__(
        self,
        classifier: Classifier,
        settings: Settings,
        observe_run: Callable[[int], None],
        throughput: Throughput | None = None,
    ) -> None:
        """Starts the threads.

        Args:
            classifier: what reads texts.
            settings: the limits in force.
            observe_run: is told the number of windows of each run.
            throughput: what is known of the engine's speed by now.
        """
        self._classifier = classifier
        self._settings = settings
        self._observe_run = observe_run
        self._users = 0
        self._throughput = throughput or Throughput(classifier.threads)
        self._loop = asyncio.get_running_loop()
        self._places = FairShare()  # texts that wait or run
        self._streamed_texts = 0
        self._left = asyncio.Event()
        self._encoding = ThreadPoolExecutor(1, "encoding", _yield_to_others)
        # A client has one thing in the encoding thread, and one chunk of a stream that waits for
        # room, at a time. Both are first come, first served, so clients take turns.
        self._encoding_locks: _Locks = WeakValueDictionary()
        self._stream_locks: _Locks = WeakValueDictionary()
        self._queue: WindowQueue[_Request] = WindowQueue(settings.max_batch_texts)
        self._running: dict[int, float] = {}  # when each thread's run began
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"inference-{number}", daemon=True)
            for number in range(classifier.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def texts(self) -> int:
        """Texts that wait or run."""
        return self._places.total

    @property
    def saturated(self) -> bool:
        """Whether not even one short text of a client without any would be admitted."""
        return not self.has_room()

    def wait_seconds(self, client: str = ANYBODY) -> float:
        """How long a short text of the client would wait if it came now, at the present speed."""
        with self._changed:
            return self._queue.ids_before(client) * self._throughput.seconds_per_id

    @property
    def hangs(self) -> bool:
        """Whether a run of the engine has not ended for so long that it never will."""
        now = time.monotonic()
        return any(now - begun > HANG_SECONDS for begun in list(self._running.values()))

    def check_room(self, client: str = ANYBODY, texts: int = 1) -> None:
        """Returns if so many further texts of the client would be admitted now.

        Raises:
            QueueFullError: they would not.
        """
        if not self.has_room(client, texts):
            raise QueueFullError("too many texts are waiting; try again in a moment")

    def has_room(self, client: str = ANYBODY, texts: int = 1) -> bool:
        """Whether so many further texts of the client would be admitted now."""
        limit = self._settings.max_queue_texts
        if not self._places.total:
            return texts <= limit
        if not self._places.admits(client, texts, limit, small=self._settings.max_batch_texts):
            return False
        # What waits for a run at most is never too much, however slow the engine seems: or else a
        # wrong idea of its speed would refuse all that could correct it.
        waiting = self._queue.held(bulk=False).total + self._queue.held(bulk=True).total
        return waiting <= BATCH_IDS or self.wait_seconds(client) <= self._settings.max_queue_seconds

    def _check_time(
        self, client: str, ids: float, deadline: float | None, *, bulk: bool = False
    ) -> None:
        """Returns if so many ids would be read by the deadline, at the present speed.

        Beside what waits in its lane, as much of the other lane is read before.

        Raises:
            QueueFullError: they would not, or others would not be by theirs.
        """
        pace = self._throughput.seconds_per_id
        if deadline is None or not pace or ids <= BATCH_IDS:
            return
        held = self._queue.held(bulk=bulk)
        others = min(self._queue.held(bulk=not bulk).total, held.total + ids)
        limit = (deadline - self._loop.time()) / pace - others
        if not held.admits(client, int(ids), limit):
            raise QueueFullError(
                f"the texts would not be read within {self._settings.deadline_seconds:g} s beside "
                "what is waiting; send fewer at a time, or a stream"
            )

    async def submit(self, texts: Sequence[str], client: str = ANYBODY) -> BatchOutcome:
        """The outcome for each text, in order; a text that cannot be read fails alone.

        Raises:
            QueueFullError: the queue has no room for these texts, or they take too long to read.
            DeadlineError: the answer did not come in time; what is left of the work is dropped.
        """
        async with self._deadline() as deadline:
            self.check_room(client, len(texts))
            with self._place(client, len(texts)):
                return await self._answer(texts, client, deadline)

    async def submit_bulk(self, texts: Sequence[str], client: str = ANYBODY) -> BatchOutcome:
        """As ``submit``, for at most ``max_queue_texts`` texts of a stream.

        It waits until there is room, its client's earlier texts going first, without a deadline.
        """
        async with _lock_of(client, self._stream_locks):
            while not self._has_room_for_streamed(len(texts)):
                self._left.clear()
                await self._left.wait()
            self._streamed_texts += len(texts)
        try:
            with self._place(client, len(texts)):
                return await self._answer(texts, client, bulk=True)
        finally:
            self._streamed_texts -= len(texts)

    def _has_room_for_streamed(self, texts: int) -> bool:
        """Streams alone never fill the queue, nor keep a service that ends from ending in time.

        The more wait, the more are of near length: too few cost the engine a third more.
        """
        settings = self._settings
        if self._places.total + texts > settings.max_queue_texts:
            return False
        seconds = self._queue.held(bulk=True).total * self._throughput.seconds_per_id
        return not self._streamed_texts or (
            seconds <= settings.deadline_seconds / 2
            and self._streamed_texts + texts <= settings.max_queue_texts / 4
        )

    async def explain(self, text: str, client: str = ANYBODY) -> tuple[BatchOutcome, Explanation]:
        """The answer for one text, as ``submit`` gives it, and then why, by one deadline.

        Each token is left out once, and each such reading is bulk work.

        Raises:
            BlankTextError: it leaves nothing to read.
            TextLimitError: the text, or what its tokens are read as, is over its limit.
            QueueFullError: the queue has no room for it, or it takes too long to read.
            DeadlineError: the answer and the explanation did not come in time.
        """
        async with self._deadline() as deadline:
            self.check_room(client)
            with self._place(client, 1):
                answer = await self._answer([text], client, deadline)
                prediction = prediction_of(answer.outcomes[0])
                plan, network = await self._in_encoding_thread(
                    client, lambda: (self._plan(text, prediction), self._traced_network)
                )
                self._check_time(client, sum(map(len, plan.windows)), deadline, bulk=True)
                reading = asyncio.create_task(
                    self._in_encoding_thread(
                        client, lambda: [network.trace(ids) for ids in prediction.encoding.windows]
                    )
                )
                try:
                    occluded = (await self._run(plan.windows, client, bulk=True)).probabilities
                    return answer, plan.attribute(await reading, occluded)
                finally:
                    reading.cancel()

    def _plan(self, text: str, prediction: Prediction) -> OcclusionPlan:
        limit = min(self._settings.max_explained_tokens, self._settings.max_queue_texts)
        return plan_occlusions(self._classifier, text, prediction, limit)

    @cached_property
    def _traced_network(self) -> TracedNetwork:
        # Tens of megabytes, for those alone who ask for explanations; one thread alone asks.
        return TracedNetwork(self._classifier.artifact.weights)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps it from being retired."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[float]:
        """When the time for an answer is over, by the event loop's clock."""
        seconds = self._settings.deadline_seconds
        deadline = self._loop.time() + seconds
        try:
            with self.in_use():
                async with asyncio.timeout_at(deadline):
                    yield deadline
        except TimeoutError:
            raise DeadlineError(f"no answer within {seconds:g} s") from None

    @contextlib.contextmanager
    def _place(self, client: str, texts: int) -> Iterator[None]:
        """A place for so many texts in the queue."""
        with self._places.holding(client, texts):
            try:
                yield
            finally:
                self._left.set()

    async def retire(self) -> None:
        """Closes once what has begun is answered, and waits for runs that take longer or hang.

        Nobody begins anything any more.
        """
        while self._users:
            await asyncio.sleep(0.05)
        await self.close()
        while self._running:
            await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Lets what runs finish, unless it hangs, and drops what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        ends = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, ends - time.monotonic()))
        for request in self._queue:
            request.done.cancel()
        self._encoding.shutdown(wait=False, cancel_futures=True)

    async def _answer(
        self,
        texts: Sequence[str],
        client: str,
        deadline: float | None = None,
        *,
        bulk: bool = False,
    ) -> BatchOutcome:
        begun = time.perf_counter()
        encodings = await self._encode_all(texts, client, deadline)
        encoded = time.perf_counter()
        read = [encoding for encoding in encodings if isinstance(encoding, Encoding)]
        windows = [ids for encoding in read for ids in encoding.windows]
        request = await self._run(windows, client, bulk=bulk)
        predictions = self._classifier.decide_all(read, request.probabilities)
        outcomes: list[Outcome] = [
            next(predictions) if isinstance(encoding, Encoding) else encoding
            for encoding in encodings
        ]
        return BatchOutcome(
            outcomes,
            encode_seconds=encoded - begun,
            queue_seconds=request.started - encoded if windows else 0.0,
            infer_seconds=request.ended - request.started if windows else 0.0,
        )

    async def _encode_all(
        self, texts: Sequence[str], client: str, deadline: float | None
    ) -> list[Encoding | TextError]:
        """The encodings of the texts, those of a request of some length in turn with others'.

        Raises:
            QueueFullError: the texts take too long to read, by what is known of them so far.
        """
        left = self._characters(texts)
        if left <= _MAX_CHARACTERS_IN_LOOP:
            return self._encode_each(texts)
        encodings: list[Encoding | TextError] = []
        ids = 0
        for turn in _in_turns(texts):
            self._check_time(client, ids + left * _MIN_IDS_PER_CHARACTER, deadline)
            encoded = await self._in_encoding_thread(client, partial(self._encode_each, turn))
            encodings += encoded
            left -= self._characters(turn)
            ids += sum(
                len(window)
                for encoding in encoded
                if isinstance(encoding, Encoding)
                for window in encoding.windows
            )
        self._check_time(client, ids, deadline)
        return encodings

    async def _in_encoding_thread(self, client: str, work: Callable[[], _Result]) -> _Result:
        """What ``work`` returns; work that nobody waits for any more is dropped before its turn."""
        async with _lock_of(client, self._encoding_locks):
            return await self._loop.run_in_executor(self._encoding, work)

    def _characters(self, texts: Sequence[str]) -> int:
        """Of those that will be read: a text over its limit costs nothing."""
        limit = self._settings.max_text_characters
        return sum(len(text) for text in texts if len(text) <= limit)

    def _encode_each(self, texts: Sequence[str]) -> list[Encoding | TextError]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding | TextError:
        limit = self._settings.max_text_characters
        if len(text) > limit:
            return TextLimitError(f"the text has {len(text)} characters; the limit is {limit}")
        try:
            return self._classifier.encode(text)
        except TextError as error:
            return error

    async def _run(
        self, windows: Sequence[tuple[int, ...]], client: str, *, bulk: bool = False
    ) -> _Request:
        """Queues windows and waits until all have been read."""
        labels = len(self._classifier.artifact.manifest.labels)
        request = _Request(
            client,
            dict(enumerate(windows)),
            bulk,
            self._loop.create_future(),
            np.empty((len(windows), labels)),
            len(windows),
        )
        if not windows:
            return request
        with self._changed:
            self._queue.add(request, bulk=bulk)
            self._changed.notify(len(windows))
        try:
            await request.done
        finally:
            if request.missing:  # too late, nobody wants it any more, or a run of it failed
                with self._changed:
                    self._queue.discard(request, bulk=bulk)
        return request

    def _serve(self) -> None:
        """What each thread does."""
        _yield_to_others()
        thread = threading.get_ident()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                self._running[thread] = time.monotonic()
                started = time.perf_counter()
                run = self._queue.take()
            result: ProbabilityArray | Exception
            try:
                result = self._classifier.probabilities([ids for _, _, ids in run])
            except Exception as error:
                result = error
            ended = time.perf_counter()
            del self._running[thread]
            with contextlib.suppress(RuntimeError):  # the loop ended before a run that hung
                self._loop.call_soon_threadsafe(self._deliver, run, result, started, ended)

    def _deliver(
        self,
        run: list[tuple[_Request, int, tuple[int, ...]]],
        result: ProbabilityArray | Exception,
        started: float,
        ended: float,
    ) -> None:
        self._observe_run(len(run))
        self._throughput.observe(len(run), max(len(ids) for _, _, ids in run), ended - started)
        for index, (request, row, _) in enumerate(run):
            if request.done.done():
                continue
            if isinstance(result, Exception):
                request.done.set_exception(result)
                continue
            request.started = min(request.started, started)
            request.ended = ended
            request.probabilities[row] = result[index]
            request.missing -= 1
            if not request.missing:
                request.done.set_result(None)


_Locks = WeakValueDictionary[str, asyncio.Lock]


def _lock_of(client: str, locks: _Locks) -> asyncio.Lock:
    """The lock of a client, which is there for as long as anything of the client's is."""
    lock = locks.get(client)
    if lock is None:
        lock = locks[client] = asyncio.Lock()
    return lock


def _in_turns(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts, in order, by what is encoded before another's turn."""
    turn: list[str] = []
    characters = 0
    for text in texts:
        if turn and characters + len(text) > _MAX_CHARACTERS_PER_TURN:
            yield turn
            turn, characters = [], 0
        turn.append(text)
        characters += len(text)
    if turn:
        yield turn


def _yield_to_others() -> None:
    """Lets the event loop and the probes go first where processors are short."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # a sandbox may refuse it, and a process be lower yet
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
