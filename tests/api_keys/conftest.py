"""A service that asks for keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import AdapterName, load_settings
from tests.support.api_keys import FILE
from tests.support.http import wait_ready


@pytest.fixture(scope="package")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def client(tiny_artifact: Path, keys_file: Path) -> Iterator[TestClient]:
    settings = load_settings(
        model=tiny_artifact, api_keys_file=keys_file, compat=",".join(get_args(AdapterName))
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client
