"""An engine that blocks until it is released, in a classifier and in an application."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from model.classifier import Classifier
from model.engines import Engine, Logits
from service.app import create_app
from service.settings import load_settings
from service.state import Service
from tests.support.http import wait_ready


class HeldEngine:
    """Wraps an engine and blocks every run until ``released`` is set."""

    name = "held"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.entered = threading.Event()
        self.released = threading.Event()
        self.running = self.runs = 0

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        self.entered.set()
        self.running += 1
        self.released.wait(120)
        self.runs += 1
        return self.engine.logits(batch)


def hold(service: Service) -> HeldEngine:
    """Hold the engine of the default model."""
    classifier = service.models.find().classifier
    classifier.engine = engine = HeldEngine(classifier.engine)
    return engine


# Settings of a service with room for two texts.
ROOM_FOR_TWO = {"max_queue_texts": 2, "max_items": 2}


@asynccontextmanager
async def held_app(
    artifact: Path, **settings: float
) -> AsyncIterator[tuple[ASGIApp, Service, HeldEngine]]:
    """An application whose engine, of one thread, is held."""
    service = Service(
        load_settings(model=artifact, **{"deadline_seconds": 60, "threads": 1, **settings})
    )
    await service.models.load()
    engine = hold(service)
    try:
        yield create_app(service.settings, service), service, engine
    finally:
        engine.released.set()
        await service.models.find().batcher.close()


@contextmanager
def held_client(artifact: Path, **settings: Any) -> Iterator[tuple[TestClient, HeldEngine]]:
    """A client of a service that has room for one text and whose engine is held."""
    service = Service(load_settings(model=artifact, max_queue_texts=1, max_items=1, **settings))
    with TestClient(create_app(service.settings, service)) as client:
        wait_ready(client)
        engine = hold(service)
        try:
            yield client, engine
        finally:
            engine.released.set()


def held(classifier: Classifier) -> tuple[Classifier, HeldEngine]:
    """Return a classifier of one thread with the same artifact, and its held engine."""
    engine = HeldEngine(classifier.engine)
    return Classifier(classifier.artifact, engine, threads=1), engine


def unobserved(windows: int) -> None:
    """Ignore a run, where nothing counts them."""
