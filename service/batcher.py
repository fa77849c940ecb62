"""The way of texts from the event loop to the engine and back, bounded in number and time."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
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
    """The outcomes for the texts of one request, and how long each stage took, in seconds."""

    outcomes: list[Outcome]
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


class Batcher:
    """Runs the classifier in a thread of its own, one request after the other.

    At most ``queue_texts`` texts wait or run, and what is before a request takes at most about
    ``queue_seconds``; a request that would exceed either is refused at once.
    One thread, since an inference already uses every processor.
    """

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        self._classifier = classifier
        self._max_text_characters = settings.max_text_characters
        self._queue_texts = settings.queue_texts
        self._queue_seconds = settings.queue_seconds
        self._deadline_seconds = settings.deadline_seconds
        self._texts = 0
        self._pace = Pace()
        self._executor = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="inference", initializer=_yield_to_others
        )

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
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        work = self._executor.submit(self._run, texts, time.perf_counter(), abandoned)
        # Texts leave the queue when their work ends, not when its caller goes away.
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave, len(texts)))
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await asyncio.wrap_future(work)
        except TimeoutError:
            raise DeadlineError(f"no answer within {self._deadline_seconds:g} s") from None
        finally:
            abandoned.set()

    def close(self) -> None:
        """Lets what runs finish and drops what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _leave(self, texts: int) -> None:
        self._texts -= texts
        self._pace.leave(texts)

    def _run(self, texts: Sequence[str], submitted: float, abandoned: threading.Event) -> Answer:
        started = time.perf_counter()
        encodings = []
        outcomes: list[Outcome | None] = []
        for text in texts:
            if abandoned.is_set():
                raise CancelledError
            try:
                encodings.append(self._encode(text))
                outcomes.append(None)
            except SentimentError as error:
                outcomes.append(error)
        encoded = time.perf_counter()
        predictions = iter(self._classifier.classify(encodings, cancelled=abandoned.is_set))
        return Answer(
            outcomes=[next(predictions) if outcome is None else outcome for outcome in outcomes],
            queue_seconds=started - submitted,
            encode_seconds=encoded - started,
            infer_seconds=time.perf_counter() - encoded,
        )

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
