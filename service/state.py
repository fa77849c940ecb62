"""What the running service knows of itself; handlers get it as an argument."""

import asyncio
import gc
import logging
import time
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from fastapi import Depends, Request

from model.classifier import Classifier
from model.engines import BATCH_SIZE
from model.errors import SentimentError
from service.batcher import HANG_SECONDS, Batcher
from service.errors import NotReadyError
from service.metrics import Metrics
from service.schemas import Health, ModelReference, model_reference
from service.settings import Settings

logger = logging.getLogger(__name__)

Status = Literal["loading", "ready", "saturated", "draining", "failed"]

# Objects between two collections. A request makes hundreds and hardly a cycle.
_GARBAGE_THRESHOLD = 20_000

_WARM_UP = "房间干净，服务也好，就是早餐太差。"


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers: its classifier, the way to it, and its reference in answers."""

    classifier: Classifier
    batcher: Batcher
    reference: ModelReference


class Pulse(Protocol):
    """Where a worker process tells whoever watches it that it runs."""

    def beat(self, *, ready: bool) -> None:
        """Called every second."""
        ...


@dataclass
class Service:
    """The settings, the model once it is loaded, and whether requests may come."""

    settings: Settings
    model: LoadedModel | None = None
    draining: bool = False
    failure: str | None = None
    ticked: float = field(default_factory=time.monotonic)
    pulse: Pulse | None = None
    # What reads the bodies of streams.
    reading: set[asyncio.Task[None]] = field(default_factory=set)
    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        """Sets up the metrics, in a registry of their own."""
        self.metrics = Metrics(self.settings.queue_texts, self.settings.queue_seconds)

    def tick(self) -> None:
        """Called by the event loop every second; refreshes the gauges."""
        self.ticked = time.monotonic()
        if self.pulse and not self.hangs:
            self.pulse.beat(ready=self.status == "ready")
        batcher = self.model.batcher if self.model else None
        self.metrics.refresh(
            waiting=batcher.texts if batcher else 0,
            wait_seconds=batcher.wait_seconds if batcher else 0.0,
            takes_requests=self.status in ("ready", "saturated"),
        )

    def end_streams(self) -> None:
        """Lets streams read nothing more; what they have read is answered."""
        for task in self.reading:
            task.cancel()

    @property
    def hangs(self) -> bool:
        """Whether the event loop or an inference has stood still for far too long."""
        return time.monotonic() - self.ticked > HANG_SECONDS or self._inference_hangs

    @property
    def _inference_hangs(self) -> bool:
        return self.model is not None and self.model.batcher.hangs

    @property
    def status(self) -> Status:
        """``ready`` only when a request would be admitted right now."""
        if self.failure is not None or self._inference_hangs:
            return "failed"
        if self.draining:
            return "draining"
        if self.model is None:
            return "loading"
        return "saturated" if self.model.batcher.saturated else "ready"

    def ready_model(self) -> LoadedModel:
        """The model, also while draining: whoever still sends is still answered.

        Raises:
            NotReadyError: the model is loading or could not be loaded.
        """
        if self.model is None:
            raise NotReadyError(self.describe())
        return self.model

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
            model=self.model.reference if self.model else None,
        )

    async def load(self) -> None:
        """Loads and warms up the model in a thread, while the event loop answers probes."""
        started = time.perf_counter()
        try:
            classifier = await asyncio.to_thread(load_warm, self.settings)
            batcher = Batcher(classifier, self.settings, self.metrics.observe_run)
        except SentimentError as error:
            self.failure = str(error)
            logger.error("the model could not be loaded: %s", error)
            return
        except Exception:
            self.failure = "an unexpected error; the log says more"
            logger.exception("the model could not be loaded")
            return
        # The vocabulary stays: without it, a collection has little to look through.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)
        self.model = LoadedModel(classifier, batcher, model_reference(classifier.artifact))
        manifest, digest = classifier.artifact.manifest, classifier.artifact.digest
        self.metrics.describe_model(manifest, digest, classifier.engine_name)
        logger.info(
            "model %s %s is ready after %.2f s",
            manifest.name,
            manifest.version,
            time.perf_counter() - started,
        )


def load_warm(settings: Settings) -> Classifier:
    """The classifier that the settings name, once it has answered.

    Raises:
        ArtifactError: the artifact cannot be used.
    """
    classifier = Classifier.load(settings.model, settings.threads_of_a_worker, settings.engine)
    # The first inferences pay for what is set up lazily; no request should.
    for texts in (1, BATCH_SIZE):
        list(classifier.predict([_WARM_UP] * texts))
    return classifier


def service_of(request: Request) -> Service:
    """The one typed way from a request to the service's state."""
    service: Service = request.app.state.service
    return service


async def _current(request: Request) -> Service:
    return service_of(request)


CurrentService = Annotated[Service, Depends(_current)]
