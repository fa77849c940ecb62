"""Fixtures that the tests share, among them a small model that was really trained."""

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import HealthCheck, settings

from model import artifact as artifacts
from model.classifier import Classifier
from model.config import DataConfig, SourceConfig, load_config
from model.drift import summarize_answers
from model.engines import start_engine
from model.training.run import train
from service.app import create_app
from service.settings import load_settings
from service.state import Service
from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.texts import sentences, write_csv

for what in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, what, 60.0)

# Of hypothesis: the same examples in every run, or many others by --hypothesis-profile fuzz; on a
# machine that is busy neither is too slow.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", _PATIENT, derandomize=True, database=None)
settings.register_profile("fuzz", _PATIENT, max_examples=20_000, print_blob=True)
settings.load_profile("ci")

# Whether the test that runs has said that it starts processes.
_may_start_processes = True


def _refuse_processes(event: str, _: object) -> None:
    if event in {"subprocess.Popen", "os.fork", "os.posix_spawn"} and not _may_start_processes:
        pytest.fail("it starts a process: mark it by pytest.mark.process", pytrace=False)


sys.addaudithook(_refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    global _may_start_processes
    _may_start_processes = item.get_closest_marker("process") is not None
    try:
        return (yield)
    finally:
        _may_start_processes = True


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _settings_of_this_machine_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SENTIMENT_") and name != "SENTIMENT_DATA":
            monkeypatch.delenv(name)
    monkeypatch.setenv("LANGUAGE", "en")  # nor does their language


@pytest.fixture(scope="session", autouse=True)
def _training_takes_one_thread() -> Iterator[None]:
    """Since networks are tiny here, and threads that wait for each other stand still under load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model.training.run.available_cpus", lambda: 1)
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV file of the labelled sentences."""
    path = tmp_path_factory.mktemp("corpus") / "reviews.csv"
    return write_csv(path, sentences(), ("text", "label"))


@pytest.fixture(scope="session")
def tiny_artifact(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact trained on the sentences by the same function as the one that ships."""
    source = SourceConfig(name="reviews", train=(corpus.name,))
    config = load_config("csv", DataConfig(sources=(source,), dev_modulus=10))
    directory = tmp_path_factory.mktemp("tiny")
    artifact = train(config, corpus.parent, directory / "run", directory / "artifact")
    # So few dev texts are no baseline for drift, which other tests need.
    classifier = Classifier(artifact, start_engine(artifact, "onnx"))
    baseline = summarize_answers(classifier, [text for text, _ in sentences()])
    artifacts.save(artifact.with_drift_baseline(baseline), directory / "artifact")
    return directory / "artifact"


@pytest.fixture(scope="session")
def tiny_classifier(tiny_artifact: Path) -> Classifier:
    return Classifier.load(tiny_artifact)


@pytest.fixture(scope="module")
def service(tiny_artifact: Path) -> Service:
    """The state of the application that ``client`` asks."""
    return Service(load_settings(model=tiny_artifact))


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service.settings, service)) as client:
        wait_ready(client)
        yield client


@pytest.fixture(scope="session")
def shipped_classifier() -> Classifier:
    return Classifier.load(SHIPPED)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The directory of the real corpora; without it a test is skipped."""
    directory = os.environ.get("SENTIMENT_DATA")
    if not directory:
        pytest.skip("SENTIMENT_DATA names no directory of corpora")
    return Path(directory)
