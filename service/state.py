"""What the running service knows of itself; handlers get it as an argument."""

import time
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends, Request

from model.engine_threads import HANG_SECONDS
from service.api_keys import ApiKeys
from service.inference.streams import Streams
from service.metrics import Metrics
from service.model_registry import ModelRegistry
from service.rate_limit import RateLimit
from service.schemas import Health, Status
from service.settings import Settings

# The statuses in which requests may come: a full queue is no reason to send them elsewhere.
READY: frozenset[Status] = frozenset({"ready", "saturated"})


class Heartbeat(Protocol):
    """Where a worker process tells its supervisor that it runs."""

    def record(self, *, ready: bool) -> None:
        """Called every second."""
        ...


@dataclass
class Service:
    """The settings, the models, and whether requests may come.

    Raises:
        ConfigError: the file of keys cannot be used.
    """

    settings: Settings
    heartbeat: Heartbeat | None = None
    # Called whenever models have been loaded.
    after_load: InitVar[Callable[[], None] | None] = None
    draining: bool = field(init=False, default=False)
    ticked: float = field(init=False, default_factory=time.monotonic)
    metrics: Metrics = field(init=False)
    models: ModelRegistry = field(init=False)
    streams: Streams = field(init=False, default_factory=Streams)
    keys: ApiKeys | None = field(init=False, default=None)
    rate_limit: RateLimit | None = field(init=False, default=None)

    def __post_init__(self, after_load: Callable[[], None] | None) -> None:
        self.metrics = Metrics(self.settings.max_queue_texts, self.settings.max_queue_seconds)
        self.models = ModelRegistry(self.settings, self.metrics, after_load)
        if self.settings.api_keys_file:
            self.keys = ApiKeys(self.settings.api_keys_file)
        if self.settings.rate_limit:
            self.rate_limit = RateLimit(self.settings.rate_limit)

    def tick(self) -> None:
        """Refresh the keys and the gauges; the event loop calls it every second."""
        self.ticked = time.monotonic()
        if self.keys:
            self.keys.refresh()
        if self.heartbeat and not self.hangs:
            self.heartbeat.record(ready=self.takes_requests)
        self.metrics.refresh(
            texts=self.models.texts,
            wait_seconds=self.models.wait_seconds,
            takes_requests=self.takes_requests,
        )

    @property
    def hangs(self) -> bool:
        """Whether the event loop or an inference has stood still for far too long."""
        return time.monotonic() - self.ticked > HANG_SECONDS or self.models.hangs

    @property
    def status(self) -> Status:
        """``ready`` only if a request would be admitted now, ``saturated`` if it would not."""
        if self.models.failure is not None or self.models.hangs:
            return "failed"
        if self.draining:
            return "draining"
        if not self.models:
            return "loading"
        return "saturated" if self.models.saturated else "ready"

    @property
    def takes_requests(self) -> bool:
        """Whether requests may come."""
        return self.status in READY

    def describe(self) -> str:
        """Say the status in a sentence."""
        if self.models.hangs:
            return "an inference hangs"
        match self.status:
            case "ready":
                return "the service takes requests"
            case "saturated":
                return "the queue is full"
            case "draining":
                return "the service is shutting down"
            case _:
                return self.models.describe()

    def health(self) -> Health:
        """Return the status with its reason and the default model."""
        return Health(
            status=self.status,
            detail=self.describe(),
            model=self.models.find().version if self.models else None,
        )

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics, whose gauges are at most a second old; see ``Metrics.expose``."""
        return self.metrics.expose(accept)


def service_of(request: Request) -> Service:
    """Return the service's state: the one typed way from a request to it."""
    service: Service = request.app.state.service
    return service


async def _current(request: Request) -> Service:
    return service_of(request)


CurrentService = Annotated[Service, Depends(_current)]
