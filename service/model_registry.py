"""The models that are served: loads them, replaces them, and finds the one that a request means."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model import Classifier, ConfigError, SentimentError, read_custom_words
from model.engines import BATCH_SIZE
from service.errors import NotReadyError, UnknownModelError
from service.inference.admission import ANYBODY
from service.inference.batcher import Batcher
from service.inference.explainer import Explainer
from service.inference.loop_pace import LoopPace
from service.inference.throughput import Throughput
from service.metrics import Metrics
from service.schemas import ModelVersion
from service.settings import Settings

logger = logging.getLogger(__name__)

_WARM_UP = "房间干净，服务也好，就是早餐太差。"


@dataclass(frozen=True)
class LoadedModel:
    """A model in service: its classifier, the ways to it, and its version in answers."""

    classifier: Classifier
    batcher: Batcher
    explainer: Explainer
    version: ModelVersion


class ModelRegistry:
    """The models in service, the default first; none until they are loaded.

    ``failure`` says why they could not be loaded, or not be reloaded before any was.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, after_load: Callable[[], None] | None = None
    ) -> None:
        """``after_load`` is called whenever models have been loaded."""
        self.failure: str | None = None
        self.pace = LoopPace()
        self._settings = settings
        self._metrics = metrics
        self._after_load = after_load
        self._models: tuple[LoadedModel, ...] = ()
        self._by_name: dict[str, LoadedModel] = {}
        self._loading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._reload_waits = False
        self._retiring: set[Batcher] = set()

    def __bool__(self) -> bool:
        return bool(self._models)

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._models)

    def find(self, name: str | None = None) -> LoadedModel:
        """Return the model of a name, or of a name and version as in ``zh-general@2.1.0``.

        Without a name it is the default. Models are found while the service drains, too: a client
        that still sends is still answered.

        Raises:
            NotReadyError: the models are loading or could not be loaded.
            UnknownModelError: none of them has this name.
        """
        if not self._models:
            raise NotReadyError(self.describe())
        if name is None:
            return self._models[0]
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownModelError("no such model is served; GET /v1/models lists them") from None

    def is_default(self, model: LoadedModel) -> bool:
        """Return whether this is the model of requests that name none."""
        return bool(self._models) and self._models[0] is model

    def describe(self) -> str:
        """Say in a sentence why no model is in service."""
        if self.failure is not None:
            return f"the model could not be loaded: {self.failure}"
        return "the model is still loading"

    def check_room(self, client: str = ANYBODY) -> None:
        """Check that at least one model would admit a further text of the client.

        Raises:
            NotReadyError: the models are loading or could not be loaded.
            QueueFullError: none would.
        """
        default = self.find()
        if not self.has_room(client):
            self.pace.count_refusal()
            default.batcher.admission.check_room(client)

    def has_room(self, client: str = ANYBODY) -> bool:
        """Return whether a model would admit a text more of the client, or none is in service."""
        models = self._models
        return not models or any(model.batcher.admission.has_room(client) for model in models)

    @property
    def saturated(self) -> bool:
        """Whether no model would admit even one short text."""
        return all(model.batcher.admission.saturated for model in self._models)

    @property
    def texts(self) -> int:
        """Texts in flight, of all models."""
        return sum(model.batcher.admission.texts for model in self._models)

    @property
    def wait_seconds(self) -> float:
        """The longest expected wait of a short text that came now."""
        waits = (model.batcher.admission.wait_seconds() for model in self._models)
        return max(waits, default=0.0)

    @property
    def hangs(self) -> bool:
        """Whether an inference hangs, also of a model that is being retired."""
        batchers = [model.batcher for model in self._models]
        return any(batcher.hangs for batcher in (*batchers, *self._retiring.copy()))

    async def load(self) -> None:
        """Load and warm up the models in a thread, while the event loop answers probes."""
        async with self._loading:
            if not self._models:  # otherwise SIGHUP was first
                self.failure = await self._load()

    async def reload(self) -> None:
        """Load the models again beside those in service, and switch between two requests.

        If one cannot be used, those in service stay. Replaced ones finish what they have started.
        """
        if self._reload_waits:  # and will see all that this one would
            return
        self._reload_waits = True
        async with self._loading:
            self._reload_waits = False
            replaced = self._models
            failure = await self._load()
            self._metrics.observe_reload(succeeded=failure is None)
            if failure is None or not replaced:
                self.failure = failure
        if failure is None:
            await asyncio.gather(*(self._retire(model.batcher) for model in replaced))

    def reload_soon(self) -> None:
        """Start ``reload``, as a signal does."""
        task = asyncio.create_task(self.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def close(self) -> None:
        """End the inferences, and whatever is being loaded."""
        for task in self._reloads:
            task.cancel()
        async with self._loading:
            for model in self._models:
                await model.batcher.close()

    async def _retire(self, batcher: Batcher) -> None:
        """Watch it until it has ended: threads that hang keep a processor, and memory."""
        self._retiring.add(batcher)
        await batcher.retire()
        self._retiring.discard(batcher)

    async def _load(self) -> str | None:
        """Put the models of the settings into service, or return why they cannot be."""
        started = time.perf_counter()
        models: list[LoadedModel] = []
        try:
            loaded = await asyncio.to_thread(load_classifiers, self._settings)
            for classifier, throughput in loaded:
                models.append(self._start(classifier, throughput))
        except Exception as error:
            for model in models:
                await model.batcher.close()
            if isinstance(error, SentimentError):
                logger.error("the model could not be loaded: %s", error)
                return str(error)
            logger.exception("the model could not be loaded")
            return "an unexpected error; the log says more"
        if self._after_load:
            self._after_load()
        self._serve(models)
        self._metrics.describe_models([model.classifier for model in models])
        for model in self._models:
            logger.info(
                "model %s %s is ready after %.2f s",
                model.version.name,
                model.version.version,
                time.perf_counter() - started,
            )
        return None

    def _start(self, classifier: Classifier, throughput: Throughput) -> LoadedModel:
        observe_run = self._metrics.observe_run
        batcher = Batcher(classifier, self._settings, observe_run, throughput, self.pace)
        explainer = Explainer(classifier, batcher, self._settings)
        return LoadedModel(classifier, batcher, explainer, ModelVersion.of(classifier.artifact))

    def _serve(self, models: Sequence[LoadedModel]) -> None:
        self._models = tuple(models)
        self._by_name = {}
        for model in models:
            name = model.version.name
            self._by_name.setdefault(name, model)  # of several versions the first listed
            self._by_name[f"{name}@{model.version.version}"] = model


def load_classifiers(settings: Settings) -> list[tuple[Classifier, Throughput]]:
    """Load the configured classifiers, the default first, and warm each up.

    Raises:
        ArtifactError: an artifact cannot be used.
        ConfigError: two of them have the same name and version, or words cannot be read.
    """
    words = read_custom_words(settings.user_words, settings.extra_stopwords, settings.kept_words)
    loaded: dict[str, tuple[Classifier, Throughput]] = {}
    for directory in (settings.model, *settings.models):
        classifier = Classifier.load(directory, settings.threads_per_worker, settings.engine, words)
        manifest = classifier.artifact.manifest
        key = f"{manifest.name}@{manifest.version}"
        if key in loaded:
            raise ConfigError(
                f"{directory} is {key}, as another directory in SENTIMENT_MODEL and "
                "SENTIMENT_MODELS is; name each once"
            )
        loaded[key] = classifier, _warm_up(classifier)
    return list(loaded.values())


def _warm_up(classifier: Classifier) -> Throughput:
    """Measure the throughput, once what is set up lazily is, so that no request pays for it."""
    throughput = Throughput(classifier.threads)
    (window,) = classifier.encode(_WARM_UP).windows
    for rows in (1, BATCH_SIZE):
        classifier.probabilities([window] * rows)
    for rows in (1, BATCH_SIZE):
        started = time.perf_counter()
        classifier.probabilities([window] * rows)
        throughput.observe(rows, len(window), time.perf_counter() - started)
    return throughput
