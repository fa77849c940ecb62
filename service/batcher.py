"""The way of texts from the event loop to the engine and back, bounded in number and time."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

from model.classifier import Classifier, Prediction
from model.encoding import Encoding
from model.errors import SentimentError, TextLimitError
from service.errors import DeadlineError, QueueFullError
from service.pace import Pace
from service.settings import Settings

Outcome = Prediction | SentimentError


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcomes for the texts of one request, and how long each stage took, in seconds.

    ``texts_together`` ran together, those of other requests among them, and share the times.
    """

    outcomes: list[Outcome]
    texts_together: int
    queue_seconds: float
    encode_seconds: float
    infer_seconds: float

    def stages(self) -> dict[str, float]:
        """The seconds of each stage, by its name."""
        return {
            "queue": self.queue_seconds,
            "encode": self.encode_seconds,
            "infer": self.infer_seconds,
        }


@dataclass(slots=True, eq=False)
class _Work:
    """The texts of one request, and where their answer goes."""

    texts: Sequence[str]
    submitted: float
    answer: Future[Answer]
    abandoned: bool = False


class Batcher:
    """Runs the classifier in a thread of its own, on all requests that wait.

    Whoever comes while nothing runs is answered at once and alone; those who come meanwhile run
    together, up to ``batch_texts`` texts, since the engine answers many in little more time than
    one. At most ``queue_texts`` texts wait or run, and what is before a request takes at most about
    ``queue_seconds``; a request that would exceed either is refused at once.
    One thread, since an inference already uses every processor.
    """

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        self._classifier = classifier
        self._max_text_characters = settings.max_text_characters
        self._batch_texts = settings.batch_texts
        self._queue_texts = settings.queue_texts
        self._queue_seconds = settings.queue_seconds
        self._deadline_seconds = settings.deadline_seconds
        self._texts = 0
        self._pace = Pace()
        self._waiting: deque[_Work] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
        self._thread.start()

    @property
    def texts(self) -> int:
        """Texts that wait or run."""
        return self._texts

    @property
    def saturated(self) -> bool:
        """Whether not even one further text would be admitted."""
        return self._texts >= self._queue_texts or self._wait_seconds > self._queue_seconds

    @property
    def _wait_seconds(self) -> float:
        return self._texts * self._pace.seconds_per_text

    def check_room(self, texts: int = 1) -> None:
        """Returns if so many further texts would be admitted now.

        Raises:
            QueueFullError: they would not.
        """
        if self.saturated or self._texts + texts > self._queue_texts:
            raise QueueFullError("too many texts are waiting; try again in a moment")

    async def submit(self, texts: Sequence[str]) -> Answer:
        """The outcome for each text, in order; a text that cannot be read fails alone.

        Raises:
            QueueFullError: the queue has no room for these texts.
            DeadlineError: the answer did not come in time; what is left of the work is dropped.
        """
        self.check_room(len(texts))
        if not self._texts:
            self._pace.begin()
        self._texts += len(texts)
        loop = asyncio.get_running_loop()
        work = _Work(texts, time.perf_counter(), Future())
        # Texts leave the queue when their work ends, not when its caller goes away.
        work.answer.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave, len(texts)))
        with self._changed:
            self._waiting.append(work)
            self._changed.notify()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await asyncio.wrap_future(work.answer)
        except TimeoutError:
            raise DeadlineError(f"no answer within {self._deadline_seconds:g} s") from None
        finally:
            work.abandoned = True

    def close(self) -> None:
        """Lets what runs finish and drops what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for work in self._waiting:
            work.answer.cancel()

    def _leave(self, texts: int) -> None:
        self._texts -= texts
        self._pace.leave(texts)

    def _serve(self) -> None:
        _yield_to_others()
        while batch := self._next_batch():
            try:
                answers = self._answers(batch)
            except BaseException as error:
                for work in batch:
                    work.answer.set_exception(error)
            else:
                for work, answer in zip(batch, answers, strict=True):
                    work.answer.set_result(answer)

    def _next_batch(self) -> list[_Work]:
        """What runs next: at least one request, as soon as there is one; none once closed."""
        batch: list[_Work] = []
        room = self._batch_texts
        with self._changed:
            while not batch:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return []
                while self._waiting and (not batch or len(self._waiting[0].texts) <= room):
                    work = self._waiting.popleft()
                    if work.answer.set_running_or_notify_cancel():
                        batch.append(work)
                        room -= len(work.texts)
        return batch

    def _answers(self, batch: Sequence[_Work]) -> list[Answer]:
        def cancelled() -> bool:
            return all(work.abandoned for work in batch)

        started = time.perf_counter()
        encodings: list[Encoding] = []
        outcomes: list[list[Outcome | None]] = []
        for work in batch:
            outcomes.append([])
            for text in work.texts:
                if cancelled():
                    raise CancelledError
                try:
                    encodings.append(self._encode(text))
                    outcomes[-1].append(None)
                except SentimentError as error:
                    outcomes[-1].append(error)
        encoded = time.perf_counter()
        predictions = iter(self._classifier.classify(encodings, cancelled))
        inferred = time.perf_counter()
        return [
            Answer(
                outcomes=[next(predictions) if one is None else one for one in of_work],
                texts_together=sum(map(len, outcomes)),
                queue_seconds=started - work.submitted,
                encode_seconds=encoded - started,
                infer_seconds=inferred - encoded,
            )
            for work, of_work in zip(batch, outcomes, strict=True)
        ]

    def _encode(self, text: str) -> Encoding:
        if len(text) > self._max_text_characters:
            raise TextLimitError(
                f"the text has {len(text)} characters; the limit is {self._max_text_characters}"
            )
        return self._classifier.encode(text)


def _yield_to_others() -> None:
    """Lets the event loop and the probes go first where processors are short."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
