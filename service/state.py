"""What the running service knows of itself; handlers get it as an argument."""

import asyncio
import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from fastapi import Depends, Request

from model import SentimentError
from service.api_keys import ApiKeys
from service.errors import NotReadyError
from service.inference.batcher import ANYBODY, HANG_SECONDS, Batcher
from service.metrics import Metrics
from service.model_registry import LoadedModel, Models, load_classifiers
from service.rate_limit import RateLimit
from service.schemas import Health, ModelVersion
from service.settings import Settings

logger = logging.getLogger(__name__)

Status = Literal["loading", "ready", "saturated", "draining", "failed"]

# Those in which requests may come: a full queue is no reason to send them elsewhere.
READY: frozenset[Status] = frozenset({"ready", "saturated"})

# Objects between two collections. A request makes hundreds and hardly a cycle.
_GARBAGE_THRESHOLD = 20_000


class Heartbeat(Protocol):
    """Where a worker process tells whoever watches it that it runs."""

    def record(self, *, ready: bool) -> None:
        """Called every second."""
        ...


@dataclass
class Service:
    """The settings, the model once it is loaded, and whether requests may come."""

    settings: Settings
    models: Models | None = None
    draining: bool = False
    failure: str | None = None
    ticked: float = field(default_factory=time.monotonic)
    heartbeat: Heartbeat | None = None
    metrics: Metrics = field(init=False)
    keys: ApiKeys | None = field(init=False, default=None)
    rate_limit: RateLimit | None = field(init=False, default=None)
    # Held for a turn of the event loop by the stream that reads.
    stream_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    # What reads the bodies of streams.
    _reading: set[asyncio.Task[object]] = field(default_factory=set)
    _streams_end: bool = False
    _retiring: set[Batcher] = field(default_factory=set)
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reloads: set[asyncio.Task[None]] = field(default_factory=set)
    _reload_waits: bool = False

    def __post_init__(self) -> None:
        """Sets up the metrics, in a registry of their own, and who may ask how often.

        Raises:
            ConfigError: the file of keys cannot be used.
        """
        self.metrics = Metrics(self.settings.max_queue_texts, self.settings.max_queue_seconds)
        if self.settings.api_keys_file:
            self.keys = ApiKeys(self.settings.api_keys_file)
        if self.settings.rate_limit:
            self.rate_limit = RateLimit(self.settings.rate_limit)

    def tick(self) -> None:
        """Called by the event loop every second; refreshes the gauges and the keys."""
        self.ticked = time.monotonic()
        if self.keys:
            self.keys.refresh()
        if self.heartbeat and not self.hangs:
            self.heartbeat.record(ready=self.takes_requests)
        batchers = [model.batcher for model in self.models or ()]
        self.metrics.refresh(
            waiting=sum(batcher.texts for batcher in batchers),
            wait_seconds=max((batcher.wait_seconds() for batcher in batchers), default=0.0),
            takes_requests=self.takes_requests,
        )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """In it, the current task reads the body of a stream.

        Raises:
            CancelledError: there, as soon as nothing more is to be read.
        """
        if self._streams_end:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            yield
        finally:
            self._reading.discard(task)

    def end_streams(self) -> None:
        """Lets streams read nothing more; what they have read is answered."""
        self._streams_end = True
        for task in self._reading:
            task.cancel()

    @property
    def hangs(self) -> bool:
        """Whether the event loop or an inference has stood still for far too long."""
        return time.monotonic() - self.ticked > HANG_SECONDS or self._inference_hangs

    @property
    def _inference_hangs(self) -> bool:
        batchers = [model.batcher for model in self.models or ()]
        return any(batcher.hangs for batcher in (*batchers, *self._retiring.copy()))

    @property
    def status(self) -> Status:
        """``ready`` only when a request would be admitted right now, ``saturated`` if it is not."""
        if self.failure is not None or self._inference_hangs:
            return "failed"
        if self.draining:
            return "draining"
        if self.models is None:
            return "loading"
        full = all(model.batcher.saturated for model in self.models)
        return "saturated" if full else "ready"

    @property
    def takes_requests(self) -> bool:
        """Whether requests may come."""
        return self.status in READY

    def ready_model(self, name: str | None = None) -> LoadedModel:
        """The model that a request names, or the default one.

        Also while draining: whoever still sends is still answered.

        Raises:
            NotReadyError: the models are loading or could not be loaded.
            UnknownModelError: none of them has this name.
        """
        return self._ready_models().find(name)

    def is_default(self, model: LoadedModel) -> bool:
        """Whether this is the model of requests that name none."""
        return self.models is not None and self.models.default is model

    def check_room(self, client: str = ANYBODY) -> None:
        """Returns if at least one model would admit a further text of the client.

        Raises:
            NotReadyError: the models are loading or could not be loaded.
            QueueFullError: none would.
        """
        models = self._ready_models()
        if not any(model.batcher.has_room(client) for model in models):
            models.default.batcher.check_room(client)

    def _ready_models(self) -> Models:
        if self.models is None:
            raise NotReadyError(self.describe())
        return self.models

    def describe(self) -> str:
        """The status in a sentence."""
        if self._inference_hangs:
            return "an inference hangs"
        return {
            "loading": "the model is still loading",
            "ready": "the service takes requests",
            "saturated": "the queue is full",
            "draining": "the service is shutting down",
            "failed": f"the model could not be loaded: {self.failure}",
        }[self.status]

    def health(self) -> Health:
        """The status with its reason and the model."""
        return Health(
            status=self.status,
            detail=self.describe(),
            model=self.models.default.reference if self.models else None,
        )

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The metrics, whose gauges are a second old at most; see ``Metrics.expose``."""
        return self.metrics.expose(accept)

    async def load(self) -> None:
        """Loads and warms up the models in a thread, while the event loop answers probes."""
        async with self._loading:
            if self.models is None:  # or else SIGHUP was first
                self.failure = await self._load()

    async def reload(self) -> None:
        """Loads them again beside those that answer, and lets them take over between two requests.

        If one cannot be used, those of before go on. Requests that they have begun, they end.
        """
        if self._reload_waits:  # and will see all that this one would
            return
        self._reload_waits = True
        async with self._loading:
            self._reload_waits = False
            before = self.models
            failure = await self._load()
            self.metrics.observe_reload(succeeded=failure is None)
            if failure is None or before is None:
                self.failure = failure
        if failure is None:
            await asyncio.gather(*(self._retire(model.batcher) for model in before or ()))

    async def _retire(self, batcher: Batcher) -> None:
        """Watches it until it has ended: its threads keep a processor, and memory, if they hang."""
        self._retiring.add(batcher)
        await batcher.retire()
        self._retiring.discard(batcher)

    def reload_soon(self) -> None:
        """Begins ``reload``; what a signal calls."""
        task = asyncio.create_task(self.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def close(self) -> None:
        """Ends the inferences, and whatever is being loaded."""
        for task in self._reloads:
            task.cancel()
        async with self._loading:
            for model in self.models or ():
                await model.batcher.close()

    async def _load(self) -> str | None:
        """Why the models of the settings cannot be served, or nothing once they are."""
        started = time.perf_counter()
        try:
            loaded = await asyncio.to_thread(load_classifiers, self.settings)
        except SentimentError as error:
            logger.error("the model could not be loaded: %s", error)
            return str(error)
        except Exception:
            logger.exception("the model could not be loaded")
            return "an unexpected error; the log says more"
        # The vocabulary stays: without it, a collection has little to look through.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        self.models = Models(
            [
                LoadedModel(
                    classifier,
                    Batcher(classifier, self.settings, self.metrics.observe_run, throughput),
                    ModelVersion.of(classifier.artifact),
                )
                for classifier, throughput in loaded
            ]
        )
        self.metrics.describe_models([classifier for classifier, _ in loaded])
        for model in self.models:
            logger.info(
                "model %s %s is ready after %.2f s",
                model.reference.name,
                model.reference.version,
                time.perf_counter() - started,
            )
        return None


def service_of(request: Request) -> Service:
    """The one typed way from a request to the service's state."""
    service: Service = request.app.state.service
    return service


async def _current(request: Request) -> Service:
    return service_of(request)


CurrentService = Annotated[Service, Depends(_current)]
