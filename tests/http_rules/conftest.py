"""A running service, and its probe port."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.app import ADAPTER_NAMES
from tests.support.http import wait_ready
from tests.support.logs import log_lines
from tests.support.process import free_port, served
from tests.support.wire import Wire

# So long that what has to wait for it never comes in time for a test.
PATIENT = {"SENTIMENT_DEADLINE_SECONDS": "600", "SENTIMENT_KEEP_ALIVE_SECONDS": "600"}


@pytest.fixture(scope="package")
def wire(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    log = tmp_path_factory.mktemp("rules") / "log"
    probes = free_port()
    settings = {
        **PATIENT,
        "SENTIMENT_PROBE_PORT": str(probes),
        "SENTIMENT_COMPAT": ",".join(ADAPTER_NAMES),
    }
    with served(tiny_artifact, log, **settings) as (process, address):
        wait_ready(address)
        yield Wire({"main": int(str(urlsplit(address).port)), "probes": probes}, log)
        assert process.poll() is None
    # Every line is JSON, and nothing that a client sent was an error of the service.
    assert [line for line in log_lines(log) if line["level"] == "error"] == []
