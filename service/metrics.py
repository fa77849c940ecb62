"""What Prometheus reads at ``/metrics``: requests, stages, answers, and how far answers drift.

Several worker processes share one directory, which ``PROMETHEUS_MULTIPROC_DIR`` names. Whoever
starts them sets it before ``prometheus_client`` is imported, calls ``empty_directory`` once before
the first worker and ``worker_ended`` when one has ended, and a worker begins with
``reserve_files``; each worker's ``/metrics`` then answers for all of them.
"""

import asyncio
import logging
import os
import struct
import sys
import time
from collections import Counter as Sums
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from model import LABELS, Classifier, SentimentError
from model.artifact import CONFIDENCE_BINS, DriftBaseline
from model.drift import Observation, population_stability_index, summarize
from service.errors import refusal_reasons
from service.inference.outcome import STAGES, BatchOutcome

logger = logging.getLogger(__name__)

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

# Answers that the drift gauges look back on, and the fewest that they speak of.
RECENT_TEXTS: Final = 2000
MIN_RECENT_TEXTS: Final = 200

# Those of a process, by prometheus_client's names, and room enough for each.
_FILES = ("counter", "histogram", "gauge_livemax", "gauge_livesum", "gauge_livemostrecent")
_FILE_BYTES = 256 * 1024
# What stays counted when a worker ends; that of all that have ended is in one file of each kind.
_LASTING = ("counter", "histogram")
# There while a worker's file is being added to that one, when what is read may hold it twice.
_ADDING = "adding"
_ATTEMPTS = 20
_ATTEMPT_SECONDS = 0.02

_UNTIMED = frozenset({401, 429, 503})

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def empty_directory() -> None:
    """Removes what earlier processes left: their counts would be added to those of now."""
    if directory := os.environ.get(DIRECTORY_VARIABLE):
        Path(directory).mkdir(parents=True, exist_ok=True)
        for file in (*Path(directory).glob("*.db"), Path(directory, _ADDING)):
            file.unlink(missing_ok=True)


def reserve_files(process_id: int) -> None:
    """Takes all the room that a worker's counts need before it counts anything.

    They are mapped into memory: a page that the disk has no room for ends the process (SIGBUS).

    Raises:
        OSError: there is no room; what was taken is given back.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return
    files = [Path(directory, f"{kind}_{process_id}.reserved") for kind in _FILES]
    try:
        for file in files:
            file.write_bytes(bytes(_FILE_BYTES))
    except OSError:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    for file in files:  # under the names that are read only now, for half a file cannot be
        file.replace(file.with_suffix(".db"))


def worker_ended(process_id: int) -> None:
    """Drops the gauges of a worker that has ended; what it counted stays counted.

    It is added to what those before it counted, or each scrape would read a file more for each.
    """
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return
    mark_process_dead(process_id)  # type: ignore[no-untyped-call]
    for file in Path(directory).glob(f"*_{process_id}.*"):
        with file.open("rb") as opened:
            used = int.from_bytes(opened.read(4), sys.byteorder)
        if used:
            os.truncate(file, used)  # the rest was reserved
        else:  # it ended before it counted anything; an empty file could not be read
            file.unlink()
    for kind in _LASTING:
        try:
            _add_to_ended(Path(directory), kind, process_id)
        except (OSError, RuntimeError, ValueError, struct.error) as error:
            # It is counted as well where it is.
            logger.warning("the file of a worker that has ended stays: %s", error)


def _add_to_ended(directory: Path, kind: str, process_id: int) -> None:
    own, ended = directory / f"{kind}_{process_id}.db", directory / f"{kind}_ended.db"
    if not own.exists():
        return
    files = [file for file in (ended, own) if file.exists()]
    sums = Sums[str]()
    for file in files:
        values: Any = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
        for key, value, *_ in values:
            sums[key] += value
    both = ended.with_suffix(".new")
    try:
        # All the room first, as in reserve_files.
        both.write_bytes(bytes(sum(file.stat().st_size for file in files)))
        written: Any = MmapedDict(str(both))  # type: ignore[no-untyped-call]
        for key, value in sums.items():
            written.write_value(key, value, 0.0)
        written.close()
        (directory / _ADDING).touch()
        both.replace(ended)
        own.unlink()
    finally:
        both.unlink(missing_ok=True)
        (directory / _ADDING).unlink(missing_ok=True)


def expose_workers(accept: str) -> tuple[bytes, str]:
    """All metrics of the workers that share a directory; see ``Metrics.expose``."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    encode, media_type = _encoder(accept)
    for _ in range(_ATTEMPTS):
        before = _files()
        with suppress(FileNotFoundError):  # it was added to the others meanwhile
            content = encode(registry)
            if _files() == before and _ADDING not in before:
                return content, media_type
        time.sleep(_ATTEMPT_SECONDS)
    return encode(registry), media_type


def _files() -> dict[str, int]:
    """The files of the workers, by which one can tell that none was added to another meanwhile."""
    with os.scandir(os.environ[DIRECTORY_VARIABLE]) as entries:
        return {entry.name: entry.inode() for entry in entries}


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except TypeError:  # a version that is none, which it compares with one
        return choose_encoder("")


class Metrics:
    """The metrics of one process. Every label has few values, all known beforehand."""

    def __init__(self, queue_texts: int, queue_seconds: float) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._scraping = asyncio.Lock()
        self._requests = Counter(
            "sentiment_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "sentiment_request_duration_seconds",
            "From a request's head to the end of its answer, unless it was refused.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        stage_seconds = Histogram(
            "sentiment_stage_duration_seconds",
            "Time of a request in the queue, in turning text into ids, and in the network.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stage_seconds = {stage: stage_seconds.labels(stage) for stage in STAGES}
        self._refusals = Counter(
            "sentiment_refusals",
            "Requests to the model that got no answer from it.",
            ["reason"],
            registry=registry,
        )
        for reason in refusal_reasons():
            self._refusals.labels(reason)
        self._key_requests = Counter(
            "sentiment_key_requests",
            "Requests answered, by the name of their key.",
            ["key"],
            registry=registry,
        )
        self._queue = Gauge(
            "sentiment_queue_texts",
            "Texts waiting or running.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._queue_texts = queue_texts  # of one model
        self._queue_limit = Gauge(
            "sentiment_queue_limit_texts",
            "Texts beyond which requests are refused.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._queue_limit.set(queue_texts)
        self._wait = Gauge(
            "sentiment_queue_wait_seconds",
            "How long a short text that came now would wait, at the speed of late.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        Gauge(
            "sentiment_queue_limit_seconds",
            "Wait beyond which requests are refused.",
            registry=registry,
            multiprocess_mode="livemax",
        ).set(queue_seconds)
        self._ready = Gauge(
            "sentiment_ready",
            "Worker processes that take requests, busy or not.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._batch_texts = Histogram(
            "sentiment_batch_texts",
            "Texts, or windows of long ones, that the engine read together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        predictions = Counter(
            "sentiment_predictions", "Texts answered, by label.", ["label"], registry=registry
        )
        self._predictions = {label: predictions.labels(label) for label in LABELS}
        self._uncertain = Counter(
            "sentiment_uncertain_predictions", "Texts answered as uncertain.", registry=registry
        )
        self._failures = Counter(
            "sentiment_failed_texts", "Texts that could not be classified.", registry=registry
        )
        self._confidence = Histogram(
            "sentiment_confidence_ratio",
            "The probability of the label.",
            buckets=CONFIDENCE_BINS,
            registry=registry,
        )
        self._tokens = Counter("sentiment_tokens", "Tokens read.", registry=registry)
        self._unknown = Counter(
            "sentiment_unknown_tokens", "Tokens read by their characters.", registry=registry
        )
        self._windows = Histogram(
            "sentiment_text_windows",
            "Windows that a text was read in.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self._build = Gauge(
            "sentiment_build_info",
            "1 for what is served, 0 for what was; the labels say what.",
            ["version", "engine", "model", "model_version", "model_digest"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._served: list[tuple[str, ...]] = []
        reloads = Counter(
            "sentiment_model_reloads",
            "Times that models were loaded anew, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._reloads = {outcome: reloads.labels(outcome) for outcome in ("succeeded", "failed")}
        self._drift = Drift(registry)
        if DIRECTORY_VARIABLE not in os.environ:
            ProcessCollector(registry=registry)

    def describe_models(self, classifiers: Sequence[Classifier]) -> None:
        """Tells what is served, and no longer what was.

        Drift is measured from here on if the first one's artifact has a reference.
        """
        self._queue_limit.set(self._queue_texts * len(classifiers))
        for served in self._served:
            self._build.labels(*served).set(0)
        self._served = []
        for classifier in classifiers:
            manifest = classifier.artifact.manifest
            served = (
                version("zh-sentiment"),
                classifier.engine_name,
                manifest.name,
                manifest.version,
                classifier.artifact.digest,
            )
            self._build.labels(*served).set(1)
            self._served.append(served)
        self._drift.begin(classifiers[0].artifact.manifest.drift_baseline)

    def observe_reload(self, *, succeeded: bool) -> None:
        """Counts models that were to take over, and whether they did."""
        self._reloads["succeeded" if succeeded else "failed"].inc()

    def observe_request(
        self,
        route: str | None,
        status: int,
        seconds: float,
        *,
        refusal: str | None = None,
        key: str | None = None,
    ) -> None:
        """Counts a request; a path that no route has is ``other``, so labels stay bounded.

        ``refusal`` is why the model gave no answer to a request, ``key`` the name of its API key.
        """
        name = route or "other"
        self._requests.labels(name, status).inc()
        if status not in _UNTIMED:  # which takes no time and would flatter the rest
            self._request_seconds.labels(name).observe(seconds)
        if key:
            self._key_requests.labels(key).inc()
        if refusal:
            self._refusals.labels(refusal).inc()

    def observe_run(self, texts: int) -> None:
        """Counts one run of the engine over so many texts, or windows of long ones."""
        self._batch_texts.observe(texts)

    def observe_outcomes(self, answer: BatchOutcome, *, by_default: bool) -> None:
        """Counts what a request's texts were answered with, and how long the stages took.

        Drift is that of the default model alone.
        """
        for stage, seconds in answer.stages().items():
            self._stage_seconds[stage].observe(seconds)
        for outcome in answer.outcomes:
            if isinstance(outcome, SentimentError):
                self._failures.inc()
                continue
            observation = Observation.of(outcome)
            self._predictions[observation.label].inc()
            self._uncertain.inc(outcome.uncertain)
            self._confidence.observe(observation.confidence)
            self._tokens.inc(observation.tokens)
            self._unknown.inc(observation.unknown)
            self._windows.observe(len(outcome.encoding.windows))
            if by_default:
                self._drift.add(observation)

    def refresh(self, *, texts: int, wait_seconds: float, takes_requests: bool) -> None:
        """Sets the gauges; called every second and at a scrape, since nobody counts them up."""
        self._queue.set(texts)
        self._wait.set(wait_seconds)
        self._ready.set(takes_requests)
        self._drift.refresh()

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """What ``expose`` says, from a thread; one scrape after another, however many come."""
        async with self._scraping:
            return await asyncio.to_thread(self.expose, accept)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All metrics of all workers, in the format that ``accept`` asks for, and its type."""
        if DIRECTORY_VARIABLE in os.environ:
            return expose_workers(accept)
        encode, media_type = _encoder(accept)
        return encode(self._registry), media_type


class Drift:
    """The latest answers beside the artifact's reference.

    Each worker looks at its own answers. They are a sample of the same traffic, so the worker
    that spoke last speaks for all.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, labels: Sequence[str]) -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode="livemostrecent")

        self._reference: DriftBaseline | None = None
        self._recent: deque[Observation] = deque(maxlen=RECENT_TEXTS)
        self._stability = gauge(
            "sentiment_drift_stability_index",
            f"Population stability index of the latest {RECENT_TEXTS} texts against dev.",
            ["signal"],
        )
        self._label_ratio = gauge("sentiment_label_ratio", "Share of a label.", ["label", "period"])
        self._mean_confidence = gauge(
            "sentiment_mean_confidence_ratio", "Mean confidence.", ["period"]
        )
        self._unknown_ratio = gauge(
            "sentiment_unknown_token_ratio", "Share of unknown tokens.", ["period"]
        )

    def begin(self, reference: DriftBaseline | None) -> None:
        """Looks at answers from here on, if there is something to compare them with."""
        self._reference = reference
        self._recent.clear()
        if reference:
            self._show(reference, "reference")

    def add(self, observation: Observation) -> None:
        """Remembers an answer and forgets the oldest."""
        self._recent.append(observation)

    def refresh(self) -> None:
        """Sets the gauges, once there are texts enough for them to mean something."""
        if self._reference is None or len(self._recent) < MIN_RECENT_TEXTS:
            return
        recent = summarize(tuple(self._recent))
        self._show(recent, "recent")
        for signal, index in population_stability_index(self._reference, recent).items():
            self._stability.labels(signal).set(index)

    def _show(self, measured: DriftBaseline, period: str) -> None:
        for label, share in measured.labels.items():
            self._label_ratio.labels(label, period).set(share)
        self._mean_confidence.labels(period).set(measured.mean_confidence)
        self._unknown_ratio.labels(period).set(measured.unknown)
