"""A service with every adapter."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import load_settings
from tests.support.adapters import (
    ALL,
)
from tests.support.http import wait_ready


@pytest.fixture(scope="package")
def client(tiny_artifact: Path) -> Iterator[TestClient]:
    app = create_app(load_settings(model=tiny_artifact, compat=ALL))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client
