"""A signal ends the process in time, whatever it is doing."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.artifacts import SHIPPED
from tests.support.clock import wait_for
from tests.support.http import wait_ready
from tests.support.logs import log_lines
from tests.support.process import listening_address, served

pytestmark = pytest.mark.process

# What a process may take beyond what it promises, on a machine that is busy with other things.
_PATIENCE_SECONDS = 8.0
_DEADLINE = {"SENTIMENT_DEADLINE_SECONDS": "2"}


def post(address: str, path: str, body: bytes) -> socket.socket:
    """A connection that has sent a request."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def assert_ends(process: subprocess.Popen[bytes]) -> None:
    """With code 0, a deadline of 2 s and a second after a signal."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(2 + 1 + _PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_in_the_middle_of_a_hostile_batch(tmp_path: Path, workers: str) -> None:
    settings = {**_DEADLINE, "SENTIMENT_WORKERS": workers}
    with served(SHIPPED, tmp_path / "log", **settings) as (process, address):
        wait_ready(address)
        body = json.dumps({"items": [{"text": "!a" * 5000}] * 199}).encode()
        connections = [post(address, "/v1/predict/batch", body) for _ in range(4)]
        connections.append(post(address, "/v1/predict", body[:1000]))  # which owes the rest
        time.sleep(0.3)
        assert_ends(process)
        for connection in connections:
            connection.close()


def test_while_the_model_loads(tmp_path: Path) -> None:
    with served(SHIPPED, tmp_path / "log", **_DEADLINE) as (process, _):
        assert_ends(process)


# Each line breaks one part of a service that runs, as a fault of a library could.
_FAULTS = {
    "the encoding": "Classifier.encode = lambda *_: time.sleep(600)",
    "an inference": "Classifier.probabilities = lambda *_: time.sleep(600)",
    "the event loop": "ModelRoute.check_body = lambda *_: time.sleep(600)",
}


@contextmanager
def broken(fault: str, model: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    script = f"""
import logging, threading, time
from model.classifier import Classifier
from service.routes.model_route import JsonModelRoute as ModelRoute
from service.process import server
from service.settings import load_settings

def break_soon():
    while not service.models:
        time.sleep(0.01)
    {fault}
    logging.getLogger("test").warning("broken")

class Service(server.Service):
    def __init__(self, *arguments, **named):
        global service
        service = self
        super().__init__(*arguments, **named)
        threading.Thread(target=break_soon, daemon=True).start()

server.Service = Service
server.serve(load_settings(port=0, model={str(model)!r}, deadline_seconds=2))
"""
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", script], stderr=file)
    try:
        address = listening_address(log, process)
        wait_for(lambda: any(line["message"] == "broken" for line in log_lines(log)))
        yield process, address
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("part", _FAULTS)
def test_while_something_hangs(part: str, tiny_artifact: Path, tmp_path: Path) -> None:
    with broken(_FAULTS[part], tiny_artifact, tmp_path / "log") as (process, address):
        body = json.dumps({"text": "房间很好" * 500}).encode()
        with post(address, "/v1/predict", body):
            time.sleep(0.5)
            assert_ends(process)
