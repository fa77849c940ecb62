"""The way of texts from the event loop to the engine and back: encode, queue, decide."""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType

import numpy as np

from model import Classifier, Encoding
from model.classifier import ProbabilityArray
from model.engine_threads import EngineThreads
from service.errors import DeadlineError
from service.inference.admission import ANYBODY, Admission
from service.inference.encoding_thread import EncodingThread
from service.inference.loop_pace import LoopPace
from service.inference.throughput import Throughput
from service.inference.window_queue import Entry, WindowQueue
from service.outcome import BatchOutcome, Outcome
from service.settings import Settings

# A run ends sooner, unless it hangs and ends with the process.
_JOIN_SECONDS = 0.2


@dataclass(slots=True, eq=False)
class WindowRequest(Entry):
    """Windows that are queued together, and what the engine has made of them."""

    bulk: bool
    done: asyncio.Future[None]
    probabilities: ProbabilityArray  # (windows, labels)
    missing: int
    started_at: float = field(default=math.inf, init=False)
    ended_at: float = field(default=0.0, init=False)


_Run = list[tuple[WindowRequest, int, tuple[int, ...]]]


class Batcher:
    """Classifies the texts of requests, those that wait together.

    A request that comes while a thread is idle runs at once and alone: it does not wait for
    company. Where more wait, ``WindowQueue`` decides which windows run next, and ``Admission``
    which requests may wait. Streams and the occlusions of explanations are bulk work, which takes
    turns with requests.
    """

    def __init__(
        self,
        classifier: Classifier,
        settings: Settings,
        observe_run: Callable[[int], None],
        throughput: Throughput | None = None,
        pace: LoopPace | None = None,
    ) -> None:
        """Start the threads.

        Args:
            classifier: what classifies.
            settings: the limits in force.
            observe_run: is told the number of windows of each run.
            throughput: what is known of the engine's speed so far.
            pace: what is known of the event loop's, which several may share.
        """
        self._classifier = classifier
        self.deadline_seconds = settings.deadline_seconds
        self._observe_run = observe_run
        self._throughput = throughput or Throughput(classifier.threads)
        self._loop = asyncio.get_running_loop()
        self.users = 0  # who keep it from being retired
        self._queue: WindowQueue[WindowRequest] = WindowQueue(settings.max_batch_texts)
        self._threads = EngineThreads(
            classifier.threads, self._queue.take, self._perform, self._hand_over, low_priority=True
        )
        self.admission = Admission(
            settings,
            self._queue,
            self._throughput,
            pace or LoopPace(),
            lock=self._threads.changed,
        )
        self.encoding = EncodingThread(classifier, self.admission, settings.max_text_characters)

    @property
    def hangs(self) -> bool:
        """Whether a run of the engine has taken so long that it will never end."""
        return self._threads.hangs

    async def submit(self, texts: Sequence[str], client: str = ANYBODY) -> BatchOutcome:
        """Return the outcome of each text, in order; a text that cannot be read fails alone.

        Raises:
            QueueFullError: the queue has no room for the texts, or they take too long to read.
            DeadlineError: they took too long; what is left of the work is dropped.
        """
        async with self.admitted(client, len(texts)) as deadline:
            return await self.classify(texts, client, deadline)

    async def submit_bulk(self, texts: Sequence[str], client: str = ANYBODY) -> BatchOutcome:
        """As ``submit``, for at most ``max_queue_texts`` texts of a stream.

        It waits until there is room, its client's earlier texts going first, without a deadline.
        """
        async with self.admission.holding_bulk(client, len(texts)):
            return await self.classify(texts, client, bulk=True)

    def admitted(self, client: str, texts: int) -> "_Admitted":
        """Hold places in the queue until a deadline, by the event loop's clock, which it yields.

        Raises:
            QueueFullError: the queue has no room for the texts.
            DeadlineError: the ``async with`` block was not left by the deadline.
        """
        return _Admitted(self, client, texts)

    async def classify(
        self,
        texts: Sequence[str],
        client: str,
        deadline: float = math.inf,
        *,
        bulk: bool = False,
    ) -> BatchOutcome:
        """Return the outcome of each text, for which a place is held already.

        Raises:
            QueueFullError: they would not be done by the deadline.
        """
        started = perf_counter()
        encodings = await self.encoding.encode(texts, client, deadline)
        encoded = perf_counter()
        readable = [encoding for encoding in encodings if isinstance(encoding, Encoding)]
        windows = [ids for encoding in readable for ids in encoding.windows]
        request = await self.run(windows, client, bulk=bulk)
        predictions = self._classifier.decide_all(readable, request.probabilities)
        outcomes: list[Outcome] = [
            next(predictions) if isinstance(encoding, Encoding) else encoding
            for encoding in encodings
        ]
        return BatchOutcome(
            outcomes,
            encode_seconds=encoded - started,
            queue_seconds=request.started_at - encoded if windows else 0.0,
            infer_seconds=request.ended_at - request.started_at if windows else 0.0,
        )

    async def run(
        self, windows: Sequence[tuple[int, ...]], client: str, *, bulk: bool = False
    ) -> WindowRequest:
        """Queue windows and return once all of them have run."""
        labels = len(self._classifier.artifact.manifest.labels)
        request = WindowRequest(
            client,
            dict(enumerate(windows)),
            bulk,
            self._loop.create_future(),
            np.empty((len(windows), labels)),
            len(windows),
        )
        if not windows:
            return request
        with self._threads.changed:
            self._queue.add(request, bulk=bulk)
            self._threads.changed.notify(len(windows))
        try:
            await request.done
        finally:
            if request.missing:  # too late, abandoned by its client, or a run of it failed
                with self._threads.changed:
                    self._queue.discard(request, bulk=bulk)
        return request

    def _perform(self, run: _Run) -> ProbabilityArray:
        return self._classifier.probabilities([ids for _, _, ids in run])

    def _hand_over(
        self, run: _Run, result: ProbabilityArray | Exception, started: float, ended: float
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop ended before a run that hung
            self._loop.call_soon_threadsafe(self._deliver, run, result, started, ended)

    def _deliver(
        self, run: _Run, result: ProbabilityArray | Exception, started: float, ended: float
    ) -> None:
        self._observe_run(len(run))
        self._throughput.observe(len(run), max(len(ids) for _, _, ids in run), ended - started)
        for index, (request, row, _) in enumerate(run):
            if request.done.done():
                continue
            if isinstance(result, Exception):
                request.done.set_exception(result)
                continue
            request.started_at = min(request.started_at, started)
            request.ended_at = ended
            request.probabilities[row] = result[index]
            request.missing -= 1
            if not request.missing:
                request.done.set_result(None)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it from being retired."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    async def retire(self) -> None:
        """Close once no request is left, and wait for runs that take longer or hang.

        New requests must go elsewhere.
        """
        while self.users:
            await asyncio.sleep(0.05)
        await self.close()
        while self._threads.busy:
            await asyncio.sleep(1.0)

    async def close(self) -> None:
        """Let what runs finish, unless it hangs, and drop what waits."""
        self._threads.stop()
        await asyncio.to_thread(self._threads.join, _JOIN_SECONDS)
        for request in self._queue:
            request.done.cancel()
        self.encoding.close()


class _Admitted:
    """What ``Batcher.admitted`` returns: in one step, since every request goes through it."""

    def __init__(self, batcher: Batcher, client: str, texts: int) -> None:
        self._batcher = batcher
        self._client = client
        self._texts = texts
        self._deadline = asyncio.get_running_loop().time() + batcher.deadline_seconds
        self._timeout = asyncio.timeout_at(self._deadline)

    async def __aenter__(self) -> float:
        self._batcher.admission.check_room(self._client, self._texts)
        await self._timeout.__aenter__()
        self._batcher.users += 1
        self._batcher.admission.acquire(self._client, self._texts)
        return self._deadline

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._batcher.admission.release(self._client, self._texts)
        self._batcher.users -= 1
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            seconds = self._batcher.deadline_seconds
            raise DeadlineError(f"no answer within {seconds:g} s") from None
