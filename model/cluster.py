"""Answers for texts on the machines of a Ray cluster: those that one machine gives."""

import socket
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
from model.classifier import CHUNK_TEXTS, Classifier, Probabilities
from model.engines import EngineChoice, start_engine
from model.errors import ClusterError
from model.progress import Progress

if TYPE_CHECKING:
    from ray import ObjectRef

# The files of an artifact by name, as they are handed from machine to machine.
Files = dict[str, bytes]

# Chunks under way for each processor: one that runs, and what bridges a slow one before it.
_CHUNKS_A_PROCESSOR = 4
_CONNECT_SECONDS = 5.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the Ray cluster at ``HOST:PORT``; ``auto`` is the one on this machine.

    Raises:
        ClusterError: it cannot be reached.
    """
    import ray  # only whoever has a cluster has the package

    host, separator, port = address.rpartition(":")
    if separator and port.isdecimal() and "/" not in host:
        # Ray itself tries for minutes.
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise ClusterError(f"no Ray cluster answers at {address}: {error}") from None
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise ClusterError(f"the Ray cluster at {address} cannot be used: {problem}") from None
    try:
        yield
    finally:
        ray.shutdown()


class Shares(NamedTuple):
    """What of a ``Prediction`` comes back; the rest would take longer on the way than to read."""

    probabilities: tuple[float, ...]


class ClusterClassifier:
    """Answers as a ``Classifier`` does, on every processor of the cluster that is connected.

    The same texts run together as on one machine, so the answers are the same where processors are
    of one kind. The artifact goes from here to each machine.
    """

    def __init__(self, directory: Path, engine: EngineChoice = "auto") -> None:
        """See ``Classifier.load``.

        Raises:
            ArtifactError: the artifact cannot be used.
        """
        self.artifact = artifacts.load(directory)
        self.engine_name = start_engine(self.artifact, engine).name
        names = (artifacts.MANIFEST, *self.artifact.manifest.files)
        self._files: Files = {name: (directory / name).read_bytes() for name in names}

    def predict(
        self, texts: Iterable[str], progress: Progress | None = None
    ) -> Generator[Shares, None, None]:
        """See ``Classifier.predict``.

        A bounded number of chunks is under way. A machine that is added is used from then on, and
        what a machine that dies had not answered is done again by another.

        Raises:
            BlankTextError: one of the texts is blank.
            ClusterError: a chunk was lost time and again.
        """
        import ray

        read = ray.remote(num_cpus=1)(_read)
        # Inside a list they are not sent along with each chunk, but fetched where they are needed.
        files = [ray.put(self._files)]
        remaining = iter(texts)
        begun: deque[ObjectRef[Probabilities]] = deque()
        while chunk := list(islice(remaining, CHUNK_TEXTS)):
            begun.append(read.remote(files, self.engine_name, chunk))
            processors = int(ray.cluster_resources().get("CPU", 1))
            while len(begun) >= processors * _CHUNKS_A_PROCESSOR:
                yield from _finish(begun.popleft(), progress)
        while begun:
            yield from _finish(begun.popleft(), progress)


def _finish(chunk: "ObjectRef[Probabilities]", progress: Progress | None) -> Iterator[Shares]:
    import ray

    try:
        probabilities = ray.get(chunk)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        problem = str(error).splitlines()[0]
        raise ClusterError(f"the Ray cluster lost a part of the work: {problem}") from None
    yield from (Shares(tuple(shares)) for shares in probabilities.tolist())
    if progress:
        progress.step(len(probabilities))


def _read(files: "list[ObjectRef[Files]]", engine: EngineChoice, texts: list[str]) -> Probabilities:
    """What a machine of the cluster does: the probabilities of shape (texts, labels)."""
    predictions = _classifier(files[0], engine).predict(texts)
    return np.array([prediction.probabilities for prediction in predictions])


@lru_cache(maxsize=1)
def _classifier(files: "ObjectRef[Files]", engine: EngineChoice) -> Classifier:
    import ray

    with TemporaryDirectory() as directory:
        for name, content in ray.get(files).items():
            Path(directory, name).write_bytes(content)
        return Classifier.load(Path(directory), threads=1, engine=engine)
