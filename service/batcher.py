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
from functools import cached_property
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from model.classifier import Classifier, Prediction, Probabilities
from model.encoding import Encoding
from model.engines import group_by_length
from model.errors import ArtifactError, SentimentError, TextLimitError
from model.explain import Explanation, ReferenceNetwork, Subject
from service.errors import DeadlineError, NotReadyError, QueueFullError
from service.pace import Pace
from service.settings import Settings

logger = logging.getLogger(__name__)

# No run takes so long: it reads a handful of windows.
HANG_SECONDS = 30.0

Outcome = Prediction | SentimentError


def answered(outcome: Outcome) -> Prediction:
    """The prediction for a text, or its error raised.

    Raises:
        SentimentError: the text could not be classified.
    """
    if isinstance(outcome, SentimentError):
        raise outcome
    return outcome


STAGES = ("encode", "queue", "infer")

# Encoding so many characters takes a millisecond or two, less than the way to a thread and back
# costs under load; more would hold up the event loop.
_CHARACTERS_AT_ONCE = 2000
# The oldest of those that wait, among which a run looks for near lengths.
_WINDOWS_LOOKED_AT = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcomes for the texts of one request, and how long each stage took, in seconds.

    ``encode_seconds`` is turning text into ids, ``queue_seconds`` the wait for the first run of
    the engine, ``infer_seconds`` the time from there to the end of the last.
    """

    outcomes: list[Outcome]
    queue_seconds: float
    encode_seconds: float
    infer_seconds: float

    def stages(self) -> dict[str, float]:
        """The seconds of each stage, by its name."""
        seconds = (self.encode_seconds, self.queue_seconds, self.infer_seconds)
        return dict(zip(STAGES, seconds, strict=True))


class _Window(NamedTuple):
    """A window that waits or runs, and its row in the probabilities of its request."""

    request: "_Request"
    row: int
    ids: tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Request:
    """The windows of one request, and what is known of them."""

    done: asyncio.Future[None]
    probabilities: Probabilities  # (windows, labels)
    missing: int
    waiting: dict[int, _Window] = field(default_factory=dict)  # by their rows
    begun: bool = False
    started: float = math.inf
    ended: float = 0.0


class _Lane(dict[_Request, None]):
    """Requests of which windows wait, the oldest first."""

    newcomers_turn = False


class Batcher:
    """Runs the engine in threads of its own, each on some of the windows that wait.

    Whoever comes while a thread is idle is answered at once and alone; nobody waits for company.
    Where more wait than threads run, a thread takes the oldest with those of near length beside
    it, up to ``batch_texts``; every other time, the oldest of a request of which nothing has run
    yet, so that nobody waits for the whole of somebody's long text. At most ``queue_texts`` texts
    wait or run, and, where more wait than one run takes, what is before a request takes at most
    about ``queue_seconds``; a request that would exceed either is refused at once. Streams wait
    instead, and only for a part of that room. Texts without one of their tokens, for explanations,
    run among the streams' texts; where those and requests wait, they get a run in turn.
    """

    def __init__(
        self, classifier: Classifier, settings: Settings, observe_run: Callable[[int], None]
    ) -> None:
        """Starts the threads; ``observe_run`` is told the number of windows of each run."""
        self._classifier = classifier
        self._settings = settings
        self._observe_run = observe_run
        self._texts = self._users = 0
        self._pace = Pace(settings.batch_texts)
        self._loop = asyncio.get_running_loop()
        self._encoding = ThreadPoolExecutor(1, "encoding", _yield_to_others)
        self._requested, self._bulk = _Lane(), _Lane()
        self._lanes = (self._requested, self._bulk)  # the one whose turn it is first
        self._streamed_texts = 0
        self._turn = asyncio.Lock()  # whoever comes first gets it first
        self._left = asyncio.Event()
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
        return self._texts

    @property
    def saturated(self) -> bool:
        """Whether not even one further text would be admitted."""
        settings = self._settings
        # A queue must be able to grow busy, or its pace would never be learnt anew.
        slow = self.wait_seconds > settings.queue_seconds
        return self._texts >= settings.queue_texts or (
            slow and self._texts >= self._pace.busy_texts
        )

    @property
    def wait_seconds(self) -> float:
        """How long a request that came now would wait, by the pace of late.

        It waits for those before it and, since lanes take turns, for as many texts of streams and
        the run that is under way.
        """
        requested = self._texts - self._streamed_texts
        streamed = min(self._streamed_texts, requested + self._settings.batch_texts)
        return (requested + streamed) * self._pace.seconds_per_text

    @property
    def hangs(self) -> bool:
        """Whether a run of the engine has not ended for so long that it never will."""
        now = time.monotonic()
        return any(now - begun > HANG_SECONDS for begun in list(self._running.values()))

    def check_room(self, texts: int = 1) -> None:
        """Returns if so many further texts would be admitted now.

        Raises:
            QueueFullError: they would not.
        """
        if self.saturated or self._texts + texts > self._settings.queue_texts:
            raise QueueFullError("too many texts are waiting; try again in a moment")

    async def submit(self, texts: Sequence[str]) -> Answer:
        """The outcome for each text, in order; a text that cannot be read fails alone.

        Raises:
            QueueFullError: the queue has no room for these texts.
            DeadlineError: the answer did not come in time; what is left of the work is dropped.
        """
        async with self._deadline():
            with self._admitted(len(texts)):
                return await self._answer(texts, self._requested)

    async def submit_in_turn(self, texts: Sequence[str]) -> Answer:
        """As ``submit``, for at most ``queue_texts`` texts of a stream.

        It waits until there is room, whoever came first going first, and has no deadline.
        """
        async with self._turn:
            while not self._has_room_for_streamed(len(texts)):
                self._left.clear()
                await self._left.wait()
            self._streamed_texts += len(texts)
        try:
            with self._place(len(texts)):
                return await self._answer(texts, self._bulk)
        finally:
            self._streamed_texts -= len(texts)

    def _has_room_for_streamed(self, texts: int) -> bool:
        """Streams alone never fill the queue, nor keep a service that ends from ending in time.

        The more wait, the more are of near length: too few cost the engine a third more.
        """
        settings = self._settings
        limit = settings.queue_texts / 4
        if pace := self._pace.seconds_per_text:
            limit = min(limit, settings.deadline_seconds / 2 / pace)
        fits = not self._streamed_texts or self._streamed_texts + texts <= limit
        return fits and self._texts + texts <= settings.queue_texts

    async def explain(self, text: str) -> tuple[Answer, Explanation]:
        """The answer for one text, as ``submit`` gives it, and then why, by one deadline.

        Each token is left out once, and each such reading counts as a text in the queue.

        Raises:
            BlankTextError: there is nothing but white space to explain.
            TextLimitError: the text, or what its tokens are read as, is over its limit.
            QueueFullError: the queue has no room for it.
            DeadlineError: the answer and the explanation did not come in time.
            NotReadyError: the artifact's files have been replaced, and another has not been loaded.
        """
        async with self._deadline():
            with self._admitted(1):
                answer = await self._answer([text], self._requested)
            prediction = answered(answer.outcomes[0])
            self._check_explainable(prediction.encoding.tokens, prediction)
            try:
                subject, reference = await self._loop.run_in_executor(
                    self._encoding,
                    lambda: (Subject(self._classifier, text, prediction), self._reference),
                )
            except ArtifactError as error:
                logger.error("nothing can be explained: %s", error)
                raise NotReadyError("the model's weights are no longer on the disk") from None
            self._check_explainable(len(subject.tokens), prediction)
            reading = self._loop.run_in_executor(self._encoding, reference.read_all, prediction)
            windows = [omission.ids for omission in subject.omissions]
            with self._admitted(len(windows)):
                without = (await self._run(windows, self._bulk)).probabilities
            return answer, subject.explain(await reading, without)

    def _check_explainable(self, tokens: int, prediction: Prediction) -> None:
        """Returns if there are not too many tokens, or ids that they are read as, to explain."""
        ids = sum(map(len, prediction.encoding.windows))
        limit = min(self._settings.max_explained_tokens, self._settings.queue_texts)
        if max(tokens, ids) > limit:
            raise TextLimitError(
                f"the text has {tokens} tokens, which are read as {ids} words and characters; "
                f"at most {limit} of either are explained"
            )

    @cached_property
    def _reference(self) -> ReferenceNetwork:
        # Tens of megabytes, for those alone who ask for explanations; one thread alone asks.
        return ReferenceNetwork(self._classifier.artifact.weights)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps it from being retired."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        seconds = self._settings.deadline_seconds
        try:
            with self.in_use():
                async with asyncio.timeout(seconds):
                    yield
        except TimeoutError:
            raise DeadlineError(f"no answer within {seconds:g} s") from None

    @contextlib.contextmanager
    def _admitted(self, texts: int) -> Iterator[None]:
        """A place in the queue for so many texts, if there is room."""
        self.check_room(texts)
        with self._place(texts):
            yield

    @contextlib.contextmanager
    def _place(self, texts: int) -> Iterator[None]:
        if not self._texts:
            self._pace.begin()
        self._texts += texts
        answered_texts = 0
        try:
            yield
            answered_texts = texts
        finally:
            self._pace.leave(answered_texts, self._texts)
            self._texts -= texts
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
        """Lets what runs finish and drops what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        ends = time.monotonic() + self._settings.deadline_seconds
        for thread in self._threads:
            # One that hangs dies with the process.
            await asyncio.to_thread(thread.join, max(0.0, ends - time.monotonic()))
        for lane in self._lanes:
            for request in lane:
                request.done.cancel()
        self._encoding.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, texts: Sequence[str], lane: _Lane) -> Answer:
        begun = time.perf_counter()
        if sum(map(len, texts)) <= _CHARACTERS_AT_ONCE:
            encodings = self._encode_all(texts)
        else:
            encodings = await self._loop.run_in_executor(self._encoding, self._encode_all, texts)
        encoded = time.perf_counter()
        read = [encoding for encoding in encodings if isinstance(encoding, Encoding)]
        windows = [ids for encoding in read for ids in encoding.windows]
        request = await self._run(windows, lane)
        predictions = self._classifier.decide_all(read, request.probabilities)
        outcomes: list[Outcome] = [
            next(predictions) if isinstance(encoding, Encoding) else encoding
            for encoding in encodings
        ]
        return Answer(
            outcomes,
            queue_seconds=request.started - encoded if windows else 0.0,
            encode_seconds=encoded - begun,
            infer_seconds=request.ended - request.started if windows else 0.0,
        )

    def _encode_all(self, texts: Sequence[str]) -> list[Encoding | SentimentError]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding | SentimentError:
        limit = self._settings.max_text_characters
        if len(text) > limit:
            return TextLimitError(f"the text has {len(text)} characters; the limit is {limit}")
        try:
            return self._classifier.encode(text)
        except SentimentError as error:
            return error

    async def _run(self, windows: Sequence[tuple[int, ...]], lane: _Lane) -> _Request:
        """Queues windows and waits until all have been read."""
        labels = len(self._classifier.artifact.manifest.labels)
        request = _Request(
            self._loop.create_future(), np.empty((len(windows), labels)), len(windows)
        )
        if not windows:
            return request
        request.waiting = {row: _Window(request, row, ids) for row, ids in enumerate(windows)}
        with self._changed:
            lane[request] = None
            self._changed.notify(len(windows))
        try:
            await request.done
        finally:
            if request.missing:  # too late, nobody wants it any more, or a run of it failed
                with self._changed:
                    lane.pop(request, None)
        return request

    def _serve(self) -> None:
        """What each thread does."""
        _yield_to_others()
        while run := self._next_run():
            thread = threading.get_ident()
            self._running[thread] = time.monotonic()
            started = time.perf_counter()
            result: Probabilities | Exception
            try:
                result = self._classifier.probabilities([window.ids for window in run])
            except Exception as error:
                result = error
            ended = time.perf_counter()
            del self._running[thread]
            with contextlib.suppress(RuntimeError):  # the loop ended before a run that hung
                self._loop.call_soon_threadsafe(self._deliver, run, result, started, ended)

    def _next_run(self) -> list[_Window]:
        """Takes the oldest that waits, as soon as there is one, and others like it."""
        with self._changed:
            self._changed.wait_for(lambda: any(self._lanes) or self._closed)
            if self._closed:
                return []
            first, second = self._lanes
            lane = first or second
            if lane is first:
                self._lanes = (second, first)
            request = oldest = next(iter(lane))
            if lane.newcomers_turn:
                request = next((each for each in lane if not each.begun), oldest)
            lane.newcomers_turn = not lane.newcomers_turn
            requests = chain([request], (each for each in lane if each is not request))
            waiting = chain.from_iterable(each.waiting.values() for each in requests)
            windows = list(islice(waiting, _WINDOWS_LOOKED_AT))
            lengths = [len(window.ids) for window in windows]
            groups = group_by_length(lengths, self._settings.batch_texts)
            run = [windows[index] for index in next(group for group in groups if 0 in group)]
            for window in run:
                window.request.begun = True
                del window.request.waiting[window.row]
                if not window.request.waiting:
                    del lane[window.request]
            return run

    def _deliver(
        self, run: list[_Window], result: Probabilities | Exception, started: float, ended: float
    ) -> None:
        self._observe_run(len(run))
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


def _yield_to_others() -> None:
    """Lets the event loop and the probes go first where processors are short."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # a sandbox may refuse it, and a process be lower yet
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
