"""An engine that blocks until it is released, in a classifier and in an application."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.types import ASGIApp

from model.classifier import Classifier
from model.engines import Engine, Logits
from service.app import create_app
from service.settings import load_settings
from service.state import Service


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


@asynccontextmanager
async def held_app(
    tiny_artifact: Path, **changes: float
) -> AsyncIterator[tuple[ASGIApp, Service, HeldEngine]]:
    """An application with room for two texts, whose engine is held."""
    limits = {"max_queue_texts": 2, "max_items": 2, "deadline_seconds": 60, "threads": 1, **changes}
    settings = load_settings(model=tiny_artifact, **limits)
    service = Service(settings)
    await service.load()
    model = service.ready_model()
    engine = HeldEngine(model.classifier.engine)
    model.classifier.engine = engine
    try:
        yield create_app(settings, service), service, engine
    finally:
        engine.released.set()
        await model.batcher.close()


def held(classifier: Classifier) -> tuple[Classifier, HeldEngine]:
    engine = HeldEngine(classifier.engine)
    return Classifier(classifier.artifact, engine, threads=1), engine


def unobserved(windows: int) -> None:
    """Ignore a run, where nothing counts them."""
