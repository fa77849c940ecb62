"""What Prometheus reads at ``/metrics``: requests, queue, answers, models, drift."""

import asyncio
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from model import LABELS, Classifier, SentimentError
from model.artifact import CONFIDENCE_BINS
from model.drift import Observation
from service.drift import Drift
from service.errors import ServiceError, refusal_reasons
from service.outcome import STAGES, BatchOutcome
from service.worker_metrics import DIRECTORY_VARIABLE, expose_workers, metrics_encoder

_UNTIMED = frozenset({401, 429, 503})

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _RequestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.total = Counter(
            "sentiment_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "sentiment_request_duration_seconds",
            "Time from the head of a request to the end of its response, refusals excluded.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        stage_seconds = Histogram(
            "sentiment_stage_duration_seconds",
            "Time that a request spent in the queue, in turning text into ids, and in the network.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage_seconds = {stage: stage_seconds.labels(stage) for stage in STAGES}
        self.chunk_seconds = Histogram(
            "sentiment_stream_chunk_duration_seconds",
            "Time from reading lines of a stream, at most 64, to having their answers.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.refusals = Counter(
            "sentiment_refusals",
            "Requests for the model that it did not answer, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in refusal_reasons():
            self.refusals.labels(reason)
        self.by_key = Counter(
            "sentiment_key_requests",
            "Requests answered, by the name of their API key.",
            ["key"],
            registry=registry,
        )


class _QueueMetrics:
    def __init__(self, registry: CollectorRegistry, max_texts: int, max_seconds: float) -> None:
        self.max_texts = max_texts  # of one model
        self.texts = Gauge(
            "sentiment_queue_texts",
            "Texts waiting or running.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.limit = Gauge(
            "sentiment_queue_limit_texts",
            "Number of texts beyond which requests are refused.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.limit.set(max_texts)
        self.wait = Gauge(
            "sentiment_queue_wait_seconds",
            "Expected queue wait of a short text, estimated from recent throughput.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        Gauge(
            "sentiment_queue_limit_seconds",
            "Expected queue wait beyond which requests are refused.",
            registry=registry,
            multiprocess_mode="livemax",
        ).set(max_seconds)
        self.batch_texts = Histogram(
            "sentiment_batch_texts",
            "Texts, or windows of long texts, per run of the engine.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )


class _AnswerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        predictions = Counter(
            "sentiment_predictions", "Texts answered, by label.", ["label"], registry=registry
        )
        self.predictions = {label: predictions.labels(label) for label in LABELS}
        self.uncertain = Counter(
            "sentiment_uncertain_predictions", "Texts answered as uncertain.", registry=registry
        )
        self.failures = Counter(
            "sentiment_failed_texts", "Texts that could not be classified.", registry=registry
        )
        self.confidence = Histogram(
            "sentiment_confidence_ratio",
            "Probability of the label.",
            buckets=CONFIDENCE_BINS,
            registry=registry,
        )
        self.tokens = Counter("sentiment_tokens", "Tokens read.", registry=registry)
        self.unknown = Counter(
            "sentiment_unknown_tokens",
            "Tokens that the vocabulary lacks, read by their characters.",
            registry=registry,
        )
        self.windows = Histogram(
            "sentiment_text_windows",
            "Windows per text.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )


class _ModelMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.ready = Gauge(
            "sentiment_ready",
            "Worker processes that take requests, busy or not.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.build = Gauge(
            "sentiment_build_info",
            "1 for each model being served, 0 for each that was; the labels describe it.",
            ["version", "engine", "model", "model_version", "model_digest"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.served: list[tuple[str, ...]] = []
        reloads = Counter(
            "sentiment_model_reloads",
            "Reloads of the models, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self.reloads = {outcome: reloads.labels(outcome) for outcome in ("succeeded", "failed")}


class Metrics:
    """The metrics of one process. Every label has few values, all known beforehand."""

    def __init__(self, max_queue_texts: int, max_queue_seconds: float) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._scraping = asyncio.Lock()
        self._requests = _RequestMetrics(self._registry)
        self._queue = _QueueMetrics(self._registry, max_queue_texts, max_queue_seconds)
        self._answers = _AnswerMetrics(self._registry)
        self._models = _ModelMetrics(self._registry)
        self._drift = Drift(self._registry)
        # Finding what counts a request takes as long as counting it.
        self._of_requests = cache(self._children)
        if DIRECTORY_VARIABLE not in os.environ:
            ProcessCollector(registry=self._registry)

    def describe_models(self, classifiers: Sequence[Classifier]) -> None:
        """Set what is served now, the default model first; drift is measured anew from here on."""
        self._queue.limit.set(self._queue.max_texts * len(classifiers))
        for served in self._models.served:
            self._models.build.labels(*served).set(0)
        self._models.served = []
        for classifier in classifiers:
            manifest = classifier.artifact.manifest
            served = (
                version("zh-sentiment"),
                classifier.engine_name,
                manifest.name,
                manifest.version,
                classifier.artifact.digest,
            )
            self._models.build.labels(*served).set(1)
            self._models.served.append(served)
        self._drift.begin(classifiers[0].artifact.manifest.drift_baseline)

    def observe_reload(self, *, succeeded: bool) -> None:
        """Count a reload, and whether it succeeded."""
        self._models.reloads["succeeded" if succeeded else "failed"].inc()

    def observe_request(
        self,
        route: str | None,
        status: int,
        seconds: float,
        *,
        refusal: str | None = None,
        key: str | None = None,
    ) -> None:
        """Count a request; a path without a route is ``other``, so that labels stay bounded.

        ``refusal`` is why the model gave no answer, ``key`` the name of the API key.
        """
        total, timed = self._of_requests(route or "other", status)
        total.inc()
        if timed:
            timed.observe(seconds)
        if key:
            self._requests.by_key.labels(key).inc()
        if refusal:
            self._requests.refusals.labels(refusal).inc()

    def observe_refused(self, route: str, error: ServiceError, requests: int) -> None:
        """Count requests for the model that were refused for the same reason."""
        total, _ = self._of_requests(route, error.status)
        total.inc(requests)
        self._requests.refusals.labels(error.reason).inc(requests)

    def _children(self, route: str, status: int) -> tuple[Counter, Histogram | None]:
        """Return what counts and times the requests of a route that ended with a status."""
        total = self._requests.total.labels(route, status)
        if status in _UNTIMED:  # refusals take no time and would flatter the rest
            return total, None
        return total, self._requests.seconds.labels(route)

    def observe_chunk(self, seconds: float) -> None:
        """Count lines of a stream that were answered together, and how long that took."""
        self._requests.chunk_seconds.observe(seconds)

    def observe_run(self, texts: int) -> None:
        """Count one run of the engine over a number of texts, or windows of long ones."""
        self._queue.batch_texts.observe(texts)

    def observe_outcomes(self, answer: BatchOutcome, *, by_default: bool) -> None:
        """Count the answers to a request's texts, and how long each stage took.

        Drift is measured for the default model only.
        """
        for stage, seconds in answer.stages().items():
            self._requests.stage_seconds[stage].observe(seconds)
        answers = self._answers
        predictions = [each for each in answer.outcomes if not isinstance(each, SentimentError)]
        for prediction in predictions:
            answers.confidence.observe(prediction.confidence)
            answers.windows.observe(len(prediction.encoding.windows))
        observations = [Observation.of(prediction) for prediction in predictions]
        # Counters take the sums, each with one step for all texts of a request.
        for label, predicted in answers.predictions.items():
            predicted.inc(sum(each.label == label for each in observations))
        answers.uncertain.inc(sum(each.uncertain for each in predictions))
        answers.tokens.inc(sum(each.tokens for each in observations))
        answers.unknown.inc(sum(each.unknown for each in observations))
        answers.failures.inc(len(answer.outcomes) - len(predictions))
        if by_default:
            self._drift.add(observations)

    def refresh(self, *, texts: int, wait_seconds: float, takes_requests: bool) -> None:
        """Set the gauges; called every second, since nothing counts them up."""
        self._queue.texts.set(texts)
        self._queue.wait.set(wait_seconds)
        self._models.ready.set(takes_requests)
        self._drift.refresh()

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Call ``expose`` in a thread, for one scrape at a time."""
        async with self._scraping:
            return await asyncio.to_thread(self.expose, accept)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all workers' metrics in the format that ``accept`` asks for, and its type."""
        if DIRECTORY_VARIABLE in os.environ:
            return expose_workers(accept)
        encode, media_type = metrics_encoder(accept)
        return encode(self._registry), media_type
