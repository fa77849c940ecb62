"""Probes from a thread and a port of their own: busy is not dead, and a hang is."""

import json
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from model.engine_threads import HANG_SECONDS
from service.edge.hosts import Hosts
from service.process.probes import ProbeServer
from service.process.server import listening_socket
from service.settings import load_settings
from service.state import Service
from tests.support.artifacts import SHIPPED
from tests.support.clock import wait_for
from tests.support.http import ask, status, wait_ready
from tests.support.logs import log_lines
from tests.support.process import QUEUE_OF_ONE_BATCH, free_port, served


@pytest.fixture
def probes() -> Iterator[tuple[Service, int]]:
    service = Service(load_settings())
    server = ProbeServer(service, listening_socket("127.0.0.1", 0), Hosts(()))
    yield service, server.port
    server.close()


def test_a_probe_is_alive_while_nothing_is_loaded_and_not_ready(
    probes: tuple[Service, int],
) -> None:
    _, port = probes
    assert ask(port, "/livez") == (200, b'{"status":"alive"}')
    status, body = ask(port, "/readyz")
    assert (status, json.loads(body)["detail"]) == (503, "the model is still loading")
    assert ask(port, "/livez", "HEAD") == (200, b"")
    assert ask(port, "/v1/predict")[0] == 404


def test_an_event_loop_that_hangs_is_dead(probes: tuple[Service, int]) -> None:
    service, port = probes
    service.ticked = time.monotonic() - HANG_SECONDS - 1
    status, body = ask(port, "/livez")
    assert (status, json.loads(body)["detail"]) == (503, "the event loop or an inference hangs")
    service.tick()
    assert ask(port, "/livez")[0] == 200


def test_a_connection_that_says_nothing_keeps_no_other_waiting(
    probes: tuple[Service, int],
) -> None:
    _, port = probes
    with socket.create_connection(("127.0.0.1", port)):
        assert ask(port, "/livez")[0] == 200


class Broken(Service):
    """Has metrics that cannot be shown, once they are to be."""

    def __init__(self, scraped: threading.Event) -> None:
        super().__init__(load_settings())
        self.asked = threading.Event()
        self.scraped = scraped

    def expose(self, accept: str) -> tuple[bytes, str]:
        self.asked.set()
        assert self.scraped.wait(30)
        raise RuntimeError("secret")


def test_a_scrape_that_takes_long_and_fails_keeps_no_probe_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Broken(threading.Event())
    server = ProbeServer(service, listening_socket("127.0.0.1", 0), Hosts(()))
    answers: list[tuple[int, bytes]] = []
    scrape = threading.Thread(target=lambda: answers.append(ask(server.port, "/metrics")))
    scrape.start()
    try:
        assert service.asked.wait(10)
        assert ask(server.port, "/livez")[0] == 200
        threads = threading.active_count()
        for _ in range(20):
            assert ask(server.port, "/livez")[0] == 200
        assert threading.active_count() == threads
    finally:
        service.scraped.set()
        scrape.join()
        server.close()
    ((status, body),) = answers
    assert (status, json.loads(body)["status"]) == (500, 500)
    assert b"secret" not in body
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.process
@pytest.mark.parametrize("start", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_connections_of_the_probe_port_shut_nobody_out_of_either(
    tiny_artifact: Path, tmp_path: Path, start: bytes
) -> None:
    flood = 1100
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < flood + 100:
        pytest.skip(f"the system allows {hard} files")
    port = free_port()
    fewer = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"]
    settings = {"SENTIMENT_PROBE_PORT": str(port)}
    with served(tiny_artifact, tmp_path / "log", fewer, **settings) as (_, address), more_files():
        wait_ready(address)
        with ExitStack() as opened:
            for _ in range(flood):
                connection = socket.create_connection(("127.0.0.1", port), timeout=10)
                opened.enter_context(connection)
                connection.sendall(start)
            for _ in range(20):
                assert ask(port, "/livez")[0] == ask(port, "/metrics")[0] == 200
                assert httpx2.get(f"{address}/livez").status_code == 200
                answer = httpx2.post(f"{address}/v1/predict", json={"text": "好"})
                assert answer.status_code == 200
    assert [line for line in log_lines(tmp_path / "log") if line["level"] == "error"] == []


@contextmanager
def more_files() -> Iterator[None]:
    """As many open files as this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.process
def test_the_probe_port_of_a_service_follows_it(tiny_artifact: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {"SENTIMENT_PROBE_PORT": str(port), "SENTIMENT_DRAIN_SECONDS": "600"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (process, address):
        assert ask(port, "/livez")[0] == 200
        wait_ready(address)
        assert ask(port, "/readyz")[0] == 200
        process.terminate()
        wait_for(lambda: ask(port, "/readyz")[0] == 503)
        assert ask(port, "/livez")[0] == 200
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.process
def test_the_probe_port_answers_while_texts_fill_the_queue(tmp_path: Path) -> None:
    port = free_port()
    settings = {"SENTIMENT_PROBE_PORT": str(port), **QUEUE_OF_ONE_BATCH}
    with served(SHIPPED, tmp_path / "log", **settings) as (_, address):
        wait_ready(address)
        items = [{"text": "房间很好，早餐很差。" * 500}] * 80
        body = json.dumps({"items": items}, ensure_ascii=False).encode()
        host, service_port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(service_port))) as connection:
            connection.sendall(
                b"POST /v1/predict/batch HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: "
                + str(len(body)).encode()
                + b"\r\n\r\n"
                + body
            )
            wait_for(lambda: status(address) == "saturated")
            assert ask(port, "/livez")[0] == 200
            # An overload that takes every instance out of its balancer serves nobody.
            assert json.loads(ask(port, "/readyz")[1])["status"] == "saturated"
            assert ask(port, "/readyz")[0] == 200
            refused = httpx2.post(f"{address}/v1/predict", json={"text": "好"})
            assert refused.status_code == 429
            log = tmp_path / "log"
            wait_for(lambda: any(line.get("status") == 429 for line in log_lines(log)))
            # It leaves in a way that is told at once, long before its batch is done.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The client is gone: its batch is dropped, long before the deadline.
        wait_for(lambda: status(address) == "ready")
    routes = ("/v1/predict", "/v1/predict/batch")
    lines = [line for line in log_lines(tmp_path / "log") if line.get("route") in routes]
    assert [line["status"] for line in lines] == [429, 499]


@pytest.mark.process
def test_a_probe_port_that_is_taken_refuses_to_start(tiny_artifact: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {
            **os.environ,
            "SENTIMENT_MODEL": str(tiny_artifact),
            "SENTIMENT_PORT": "0",
            "SENTIMENT_PROBE_PORT": str(taken.getsockname()[1]),
        }
        result = subprocess.run(
            [sys.executable, "-m", "service", "serve"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert result.returncode == 2
    assert "is in use; stop the program that uses it" in result.stderr
    assert len(result.stderr.splitlines()) == 1
