"""Scores texts on the machines of a Ray cluster, with the answers that one machine gives."""

import socket
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from model import artifact as artifacts
from model.classifier import CHUNK_TEXTS, Classifier
from model.config import Label
from model.engines import EngineChoice
from model.errors import ClusterError

if TYPE_CHECKING:
    from ray import ObjectRef

# Files by name, as they are handed from machine to machine.
Files = dict[str, bytes]

# Chunks under way for each processor: one that runs, and what bridges a slow one before it.
_CHUNKS_A_PROCESSOR = 4
_CONNECT_SECONDS = 5.0


class Score(NamedTuple):
    """What of a ``Prediction`` comes back: the rest would cost more than it tells."""

    label: Label
    confidence: float
    probabilities: tuple[float, ...]


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


def predict(
    texts: Iterable[str], directory: Path, engine: EngineChoice = "auto"
) -> Generator[Score, None, None]:
    """As ``Classifier.predict``, on every processor of the cluster that is connected.

    The same texts run together as on one machine, so the answers are the same wherever processors
    are of one kind. A bounded number of chunks is under way; a machine that is added is used from
    then on, and what a machine that dies had not answered is done again by another. The artifact
    in ``directory`` goes to each machine that lacks it.

    Raises:
        ArtifactError: the artifact cannot be used.
        ClusterError: a chunk was lost time and again.
        BlankTextError: one of the texts is blank.
    """
    import ray

    files = ray.put(_read(directory))
    score = ray.remote(num_cpus=1)(_score)
    remaining = iter(texts)
    begun: deque[ObjectRef[list[Score]]] = deque()
    while chunk := list(islice(remaining, CHUNK_TEXTS)):
        # Inside a list the files are not sent along with each chunk, but fetched where needed.
        begun.append(score.remote([files], engine, chunk))
        processors = int(ray.cluster_resources().get("CPU", 1))
        while len(begun) >= processors * _CHUNKS_A_PROCESSOR:
            yield from _result(begun.popleft())
    while begun:
        yield from _result(begun.popleft())


def _read(directory: Path) -> Files:
    manifest = artifacts.load(directory).manifest
    return {name: (directory / name).read_bytes() for name in (artifacts.MANIFEST, *manifest.files)}


def _result(scores: "ObjectRef[list[Score]]") -> list[Score]:
    import ray

    try:
        result: list[Score] = ray.get(scores)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        problem = str(error).splitlines()[0]
        raise ClusterError(f"the Ray cluster lost a part of the work: {problem}") from None
    return result


def _score(files: "list[ObjectRef[Files]]", engine: EngineChoice, texts: list[str]) -> list[Score]:
    """What a machine of the cluster does."""
    return [
        Score(prediction.label, prediction.confidence, prediction.probabilities)
        for prediction in _classifier(files[0], engine).predict(texts)
    ]


@lru_cache(maxsize=1)
def _classifier(files: "ObjectRef[Files]", engine: EngineChoice) -> Classifier:
    import ray

    with TemporaryDirectory() as directory:
        for name, content in ray.get(files).items():
            Path(directory, name).write_bytes(content)
        return Classifier.load(Path(directory), threads=1, engine=engine)
