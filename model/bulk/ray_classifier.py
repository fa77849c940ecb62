"""Predictions for texts on the machines of a Ray cluster, equal to those of one machine."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model import artifact as artifacts
from model.classifier import CHUNK_TEXTS, Classifier, ProbabilityArray
from model.engines import EngineChoice, EngineName, choose_engine
from model.errors import ClusterError, SentimentError
from model.progress import Progress
from model.text.custom_words import NO_CUSTOM_WORDS, CustomWords

if TYPE_CHECKING:
    from ray import ObjectRef

# Chunks in flight per CPU: one that runs, and others so that a slow one does not hold up the rest.
_CHUNKS_PER_CPU = 4
_CONNECT_SECONDS = 5.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to the Ray cluster at ``HOST:PORT``; ``auto`` is the one on this machine.

    Raises:
        ClusterError: it cannot be reached.
    """
    import ray  # optional dependency: the extra "ray"

    if address != "auto":
        _check_address(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        problem = str(error).splitlines()[0]
        if isinstance(error, ConnectionError):  # also raised for a wrong token
            problem += "; its token may differ from the one here"
        raise ClusterError(f"the Ray cluster at {address} cannot be used: {problem}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise ``ClusterError`` unless a cluster answers; Ray itself would retry for minutes."""
    import grpc  # Ray's own way to talk

    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ClusterError(f"{address} is not a Ray cluster's address; give HOST:PORT, or auto")
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # a plain channel cannot connect
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise ClusterError(
                f"no Ray cluster answers at {address}; ray start names the port, 6379 by default"
            ) from None


class _Parts(NamedTuple):
    """What a machine makes its ``Classifier`` from: the artifact's files by name, and options."""

    files: dict[str, bytes]
    engine: EngineName
    words: CustomWords


class Scores(NamedTuple):
    """The part of a ``Prediction`` that is sent back; the rest takes longer to send than make."""

    probabilities: tuple[float, ...]
    uncertain: bool


class RayClassifier:
    """Predicts as a ``Classifier`` does, on every CPU of the connected cluster.

    The same texts share a batch as on one machine, so predictions are the same if all CPUs are of
    one kind. The artifact and the custom words are sent from here to each machine.
    """

    def __init__(
        self, directory: Path, engine: EngineChoice = "auto", words: CustomWords = NO_CUSTOM_WORDS
    ) -> None:
        """See ``Classifier.load``.

        Raises:
            ArtifactError: the artifact cannot be used.
        """
        directory = directory.resolve()  # as artifacts.load does, so both read one version
        self.artifact = artifacts.load(directory)
        self.engine_name = choose_engine(self.artifact, engine)
        self.words = words.without_unmatched(self.artifact.encoder(words).pipeline)
        names = (artifacts.MANIFEST, *self.artifact.manifest.files)
        files = {name: (directory / name).read_bytes() for name in names}
        self._parts = _Parts(files, self.engine_name, self.words)

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Generator[Scores, None, None]:
        """See ``Classifier.predict``.

        A bounded number of chunks is in flight. A machine that joins is used from then on, and
        the unfinished chunks of a machine that dies are run again on another.

        Raises:
            BlankTextError: one of the texts is blank.
            ArtifactError: a machine cannot run the artifact.
            ClusterError: a machine cannot do the work, or a chunk was lost repeatedly.
        """
        import ray

        predict_chunk = ray.remote(num_cpus=1)(_predict_chunk)
        # In a list, Ray passes the reference: a machine fetches the parts once, not per chunk.
        parts = [ray.put(self._parts)]
        remaining = iter(texts)
        in_flight: deque[ObjectRef[ProbabilityArray]] = deque()
        with _as_cluster_errors():
            while chunk := list(islice(remaining, CHUNK_TEXTS)):
                in_flight.append(predict_chunk.remote(parts, chunk))
                # At least one: an autoscaling cluster may start its machines for queued work.
                cpus = max(1, int(ray.cluster_resources().get("CPU", 0)))
                while len(in_flight) >= cpus * _CHUNKS_PER_CPU:
                    yield from _collect(in_flight.popleft(), progress)
            while in_flight:
                yield from _collect(in_flight.popleft(), progress)


def _collect(chunk: "ObjectRef[ProbabilityArray]", progress: Progress | None) -> Iterator[Scores]:
    import ray

    scores = ray.get(chunk)
    yield from (Scores(tuple(row), bool(uncertain)) for *row, uncertain in scores.tolist())
    if progress:
        progress.step(len(scores))


@contextmanager
def _as_cluster_errors() -> Iterator[None]:
    """Convert Ray errors, which quote whole tracebacks, to ``ClusterError``."""
    import ray

    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SentimentError):
            raise error.cause from None
        problem = f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
        raise ClusterError(f"a machine of the Ray cluster failed: {problem}") from error
    except ray.exceptions.RayError as error:
        problem = str(error).splitlines()[0]
        raise ClusterError(f"the Ray cluster lost a part of the work: {problem}") from None


def _predict_chunk(parts: "list[ObjectRef[_Parts]]", texts: list[str]) -> ProbabilityArray:
    """Return the scores of texts (texts, labels + 1); runs on a machine of the cluster.

    The last column is 1 where the answer is uncertain.
    """
    predictions = _load_classifier(parts[0]).predict(texts)
    return np.array([[*each.probabilities, each.uncertain] for each in predictions])


@lru_cache(maxsize=1)
def _load_classifier(stored: "ObjectRef[_Parts]") -> Classifier:
    import ray

    parts = ray.get(stored)
    with TemporaryDirectory() as directory:
        for name, content in parts.files.items():
            Path(directory, name).write_bytes(content)
        return Classifier.load(Path(directory), threads=1, engine=parts.engine, words=parts.words)
