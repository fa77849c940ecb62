"""The models that are served: which one a request means."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model import Classifier, ConfigError, read_custom_words
from model.engines import BATCH_SIZE
from service.errors import UnknownModelError
from service.inference.batcher import Batcher
from service.inference.throughput import Throughput
from service.schemas import ModelVersion
from service.settings import Settings

_WARM_UP = "房间干净，服务也好，就是早餐太差。"


@dataclass(frozen=True)
class LoadedModel:
    """A model that answers: its classifier, the way to it, and its reference in answers."""

    classifier: Classifier
    batcher: Batcher
    reference: ModelVersion


class Models:
    """Those that answer. A request may name one, or else gets the default, which is the first."""

    def __init__(self, loaded: Sequence[LoadedModel]) -> None:
        self.default = loaded[0]
        self._loaded = tuple(loaded)
        self._by_name: dict[str, LoadedModel] = {}
        for model in loaded:
            name = model.reference.name
            self._by_name.setdefault(name, model)  # of several versions the first listed
            self._by_name[f"{name}@{model.reference.version}"] = model

    def __iter__(self) -> Iterator[LoadedModel]:
        return iter(self._loaded)

    def find(self, name: str | None) -> LoadedModel:
        """The model of a name, or of a name and version as in ``zh-general@2.0.0``.

        Raises:
            UnknownModelError: there is none.
        """
        if name is None:
            return self.default
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownModelError("no such model is served; GET /v1/model lists them") from None


def load_classifiers(settings: Settings) -> list[tuple[Classifier, Throughput]]:
    """The classifiers that the settings name, the default first, and how fast each answered.

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
    """How fast it runs once it has paid for what is set up lazily, which no request should."""
    throughput = Throughput(classifier.threads)
    (window,) = classifier.encode(_WARM_UP).windows
    for rows in (1, BATCH_SIZE):
        classifier.probabilities([window] * rows)
    for rows in (1, BATCH_SIZE):
        started = time.perf_counter()
        classifier.probabilities([window] * rows)
        throughput.observe(rows, len(window), time.perf_counter() - started)
    return throughput
