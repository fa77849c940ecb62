"""Answers for texts on the machines of a Ray cluster: those that one machine gives."""

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

# Chunks under way for each processor: one that runs, and what bridges a slow one before it.
_CHUNKS_PER_CPU = 4
_CONNECT_SECONDS = 5.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the Ray cluster at ``HOST:PORT``; ``auto`` is the one on this machine.

    Raises:
        ClusterError: it cannot be reached.
    """
    import ray  # only whoever has a cluster has the package

    if address != "auto":
        _check_address(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        problem = str(error).splitlines()[0]
        if isinstance(error, ConnectionError):  # said of a wrong token, too
            problem += "; it may ask for a token that is not the one here"
        raise ClusterError(f"the Ray cluster at {address} cannot be used: {problem}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Returns if something there speaks as a cluster does; Ray itself would try for minutes."""
    import grpc  # Ray's own way to talk

    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise ClusterError(f"{address} is no address of a Ray cluster; give HOST:PORT, or auto")
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # it would have to know Ray's certificates
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(_CONNECT_SECONDS)
        except grpc.FutureTimeoutError:
            raise ClusterError(
                f"no Ray cluster answers at {address}; ray start names the port, 6379 by default"
            ) from None


class _Sent(NamedTuple):
    """What each machine makes a ``Classifier`` of: the files of the artifact by name, and how."""

    files: dict[str, bytes]
    engine: EngineName
    words: CustomWords


class Scores(NamedTuple):
    """What of a ``Prediction`` comes back; the rest would take longer on the way than to read."""

    probabilities: tuple[float, ...]


class RayClassifier:
    """Answers as a ``Classifier`` does, on every processor of the cluster that is connected.

    The same texts run together as on one machine, so the answers are the same where processors are
    of one kind. The artifact and the words go from here to each machine.
    """

    def __init__(
        self, directory: Path, engine: EngineChoice = "auto", words: CustomWords = NO_CUSTOM_WORDS
    ) -> None:
        """See ``Classifier.load``.

        Raises:
            ArtifactError: the artifact cannot be used.
        """
        directory = directory.resolve()  # as artifacts.load does, so that both read one version
        self.artifact = artifacts.load(directory)
        self.engine_name = choose_engine(self.artifact, engine)
        self.words = words.without_unmatched(self.artifact.encoder(words).pipeline)
        names = (artifacts.MANIFEST, *self.artifact.manifest.files)
        files = {name: (directory / name).read_bytes() for name in names}
        self._sent = _Sent(files, self.engine_name, self.words)

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Generator[Scores, None, None]:
        """See ``Classifier.predict``.

        A bounded number of chunks is under way. A machine that is added is used from then on, and
        what a machine that dies had not answered is done again by another.

        Raises:
            BlankTextError: one of the texts is blank.
            ArtifactError: a machine cannot run the artifact.
            ClusterError: a machine cannot do the work, or a chunk was lost time and again.
        """
        import ray

        read = ray.remote(num_cpus=1)(_read)
        # Inside a list it is not sent along with each chunk, but fetched where it is needed.
        sent = [ray.put(self._sent)]
        remaining = iter(texts)
        begun: deque[ObjectRef[ProbabilityArray]] = deque()
        with _in_one_sentence():
            while chunk := list(islice(remaining, CHUNK_TEXTS)):
                begun.append(read.remote(sent, chunk))
                # At least one: a cluster may have none yet, and start machines for work that waits.
                processors = max(1, int(ray.cluster_resources().get("CPU", 0)))
                while len(begun) >= processors * _CHUNKS_PER_CPU:
                    yield from _finish(begun.popleft(), progress)
            while begun:
                yield from _finish(begun.popleft(), progress)


def _finish(chunk: "ObjectRef[ProbabilityArray]", progress: Progress | None) -> Iterator[Scores]:
    import ray

    probabilities = ray.get(chunk)
    yield from (Scores(tuple(shares)) for shares in probabilities.tolist())
    if progress:
        progress.step(len(probabilities))


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Makes of Ray's errors, which quote whole tracebacks, some of ours."""
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


def _read(sent: "list[ObjectRef[_Sent]]", texts: list[str]) -> ProbabilityArray:
    """What a machine of the cluster does: the probabilities of shape (texts, labels)."""
    predictions = _classifier(sent[0]).predict(texts)
    return np.array([prediction.probabilities for prediction in predictions])


@lru_cache(maxsize=1)
def _classifier(reference: "ObjectRef[_Sent]") -> Classifier:
    import ray

    sent = ray.get(reference)
    with TemporaryDirectory() as directory:
        for name, content in sent.files.items():
            Path(directory, name).write_bytes(content)
        return Classifier.load(Path(directory), threads=1, engine=sent.engine, words=sent.words)
