"""The command in a process of its own: probes while it loads, signals."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path

import httpx2
import pytest

from tests.support.clock import wait_for
from tests.support.http import answers, status, wait_ready
from tests.support.logs import log_lines
from tests.support.process import QUEUE_OF_ONE_BATCH, served

pytestmark = pytest.mark.process


def test_livez_answers_while_the_model_loads(tiny_artifact: Path, tmp_path: Path) -> None:
    # Importing torch takes long enough to ask meanwhile.
    with served(tiny_artifact, tmp_path / "log", SENTIMENT_ENGINE="torch") as (_, address):
        assert httpx2.get(f"{address}/readyz").status_code == 503
        assert httpx2.get(f"{address}/livez").status_code == 200
        assert httpx2.get(f"{address}/health").json()["status"] == "loading"
        problem = httpx2.post(f"{address}/v1/predict", json={"text": "好"})
        assert (problem.status_code, problem.json()["detail"]) == (
            503,
            "the model is still loading",
        )
        wait_ready(address)
        answer = httpx2.post(f"{address}/v1/predict", json={"text": "房间很好"})
        assert answer.json()["label"] == "positive"


def test_the_unspecified_address_of_ipv6_takes_no_connections_of_ipv4(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this machine")
    log = tmp_path / "log"
    with served(tiny_artifact, log, SENTIMENT_HOST="::") as (_, address):
        assert address.startswith("http://[::]:")
        loopback = address.replace("[::]", "[::1]")
        wait_ready(loopback)
        assert not answers(address.replace("[::]", "127.0.0.1") + "/livez")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_in_exit_code_0(
    tiny_artifact: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with served(tiny_artifact, tmp_path / "log") as (process, address):
        wait_ready(address)
        process.send_signal(number)
        assert process.wait(60) == 0
    assert all("message" in line for line in log_lines(tmp_path / "log"))


def test_a_signal_while_the_model_loads_ends_in_exit_code_0(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    with served(tiny_artifact, tmp_path / "log", SENTIMENT_ENGINE="torch") as (process, _):
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize("first", [False, True])
def test_a_signal_before_anything_is_imported_ends_in_exit_code_0(
    tmp_path: Path, first: bool
) -> None:
    contained = ["unshare", "--pid", "--fork", "--kill-child"] if first else []
    if first and (
        shutil.which("unshare") is None
        or subprocess.run([*contained, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no process namespaces for this user")
    importing = tmp_path / "importing"
    held_up = f"import pathlib, time\npathlib.Path({str(importing)!r}).touch()\ntime.sleep(60)\n"
    (tmp_path / "uvicorn.py").write_text(held_up)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*contained, sys.executable, "-m", "service", "serve"],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        wait_for(importing.exists)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(children) if first else process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_drain_is_not_ready_still_answers_and_ends_at_a_second_signal(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    settings = {"SENTIMENT_DRAIN_SECONDS": "600"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (process, address):
        wait_ready(address)
        process.terminate()
        wait_for(lambda: httpx2.get(f"{address}/readyz").status_code == 503)
        assert httpx2.get(f"{address}/health").json()["status"] == "draining"
        answer = httpx2.post(f"{address}/v1/predict", json={"text": "房间很好"})
        assert answer.status_code == 200
        process.terminate()
        assert process.wait(60) == 0


def test_requests_in_flight_at_a_signal_are_answered(tiny_artifact: Path, tmp_path: Path) -> None:
    with served(tiny_artifact, tmp_path / "log", **QUEUE_OF_ONE_BATCH) as (process, address):
        wait_ready(address)
        items = [{"text": "房间很好，早餐很差。" * 500}] * 80
        statuses: list[int] = []

        def send() -> None:
            response = httpx2.post(f"{address}/v1/predict/batch", json={"items": items}, timeout=60)
            statuses.append(response.status_code)

        sender = threading.Thread(target=send)
        sender.start()
        wait_for(lambda: status(address) == "saturated")
        process.terminate()
        sender.join()
        assert statuses == [200]
        assert process.wait(60) == 0


def test_a_limit_of_files_leaves_a_number_of_connections_that_is_one(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    fewer = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    with served(tiny_artifact, tmp_path / "log", fewer) as (_, address):
        wait_ready(address)
        assert httpx2.post(f"{address}/v1/predict", json={"text": "好"}).status_code == 200
    warnings = [line["message"] for line in log_lines(tmp_path / "log") if "files" in str(line)]
    assert warnings == [
        "connections are limited to 1, since the system allows 64 open files; raise ulimit -n"
    ]


def test_a_client_that_stalls_does_not_hold_up_the_end(tiny_artifact: Path, tmp_path: Path) -> None:
    settings = {"SENTIMENT_DEADLINE_SECONDS": "0.5"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (process, address):
        wait_ready(address)
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n"
                b"Expect: 100-continue\r\n\r\n"
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
            connection.sendall(b"{")
            process.terminate()
            assert process.wait(15) == 0


def test_a_body_that_stalls_is_a_408_and_its_connection_is_closed(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    settings = {"SENTIMENT_DEADLINE_SECONDS": "0.5"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (_, address):
        wait_ready(address)
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=15) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
            answer = b""
            while received := connection.recv(4096):  # until the service closes
                answer += received
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the body did not arrive within 0.5 s" in answer


def test_a_path_prefix_works_with_a_proxy_that_strips_it(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    settings = {"SENTIMENT_ROOT_PATH": "/api"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (_, address):
        wait_ready(address)
        for path in ("/", "/docs", "/web/docs.js", "/web/page/main.js", "/openapi.json"):
            assert httpx2.get(f"{address}{path}").status_code == 200, path
        assert httpx2.get(f"{address}/openapi.json").json()["servers"] == [{"url": "/api"}]
        answer = httpx2.post(f"{address}/v1/predict", json={"text": "房间很好"})
        assert answer.status_code == 200


def test_the_log_is_json_without_user_text(tiny_artifact: Path, tmp_path: Path) -> None:
    with served(tiny_artifact, tmp_path / "log") as (process, address):
        wait_ready(address)
        httpx2.post(f"{address}/v1/predict?text=秘密", json={"text": "秘密"})
        process.terminate()
        process.wait(60)
    assert "秘密" not in (tmp_path / "log").read_text(encoding="utf-8")
    line = [line for line in log_lines(tmp_path / "log") if line["message"] == "request"][-1]
    assert (line["route"], line["status"]) == ("/v1/predict", 200)


def test_the_health_command(tiny_artifact: Path, tmp_path: Path) -> None:
    def ask(port: str) -> int:
        return subprocess.run(
            [sys.executable, "-m", "service", "health"],
            env={**os.environ, "SENTIMENT_PORT": port},
            capture_output=True,
            check=False,
        ).returncode

    with served(tiny_artifact, tmp_path / "log") as (_, address):
        wait_ready(address)
        assert ask(address.rsplit(":", 1)[1]) == 0
    assert ask(address.rsplit(":", 1)[1]) == 1


def test_the_log_level_silences_the_line_of_each_request(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with served(tiny_artifact, log, SENTIMENT_LOG_LEVEL="info") as (_, address):
        wait_ready(address)
        httpx2.post(f"{address}/v1/predict", json={"text": "好"})
        wait_for(lambda: any(line["message"] == "request" for line in log_lines(log)))
        port = address.rsplit(":", 1)[1]
    settings = {"SENTIMENT_LOG_LEVEL": "warning", "SENTIMENT_PORT": port}
    environment = {**os.environ, "SENTIMENT_MODEL": str(tiny_artifact), **settings}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, stderr=file
        )
    try:
        wait_for(lambda: answers(f"{address}/readyz"))
        assert httpx2.post(f"{address}/v1/predict", json={"text": "好"}).status_code == 200
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert log.read_text(encoding="utf-8") == ""


def test_an_offer_to_upgrade_is_passed_over(tiny_artifact: Path, tmp_path: Path) -> None:
    body = json.dumps({"text": "房间很好"}).encode()
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n%s\r\n"
    )
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
    with served(tiny_artifact, tmp_path / "log") as (_, address):
        wait_ready(address)
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            for further in (offer, offer.lower(), ""):
                connection.sendall((head % further).encode() + body)
                reply = HTTPResponse(connection)
                reply.begin()
                assert (reply.status, json.loads(reply.read())["label"]) == (200, "positive")


def test_a_head_may_come_in_pieces_and_garbage_is_still_refused(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    body = json.dumps({"text": "房间很好"}).encode()
    head = (
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    ).encode()
    with served(tiny_artifact, tmp_path / "log") as (_, address):
        wait_ready(address)
        host, port = address.removeprefix("http://").split(":")
        for cut in (1, 40, head.index(b"Upgrade") + 3, len(head) - 1):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(head[:cut])
                time.sleep(0.05)
                connection.sendall(head[cut:] + body)
                reply = HTTPResponse(connection)
                reply.begin()
                assert (reply.status, json.loads(reply.read())["label"]) == (200, "positive")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_an_offer_to_upgrade_after_another_request_is_refused(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    smuggled = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sent = (
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        f"Content-Length: {len(smuggled)}\r\n\r\n"
    ).encode()
    with served(tiny_artifact, tmp_path / "log") as (_, address):
        wait_ready(address)
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(sent)
            time.sleep(0.05)
            with suppress(OSError):  # it may be closed by now
                connection.sendall(smuggled)
            received = b""
            with suppress(ConnectionResetError):
                while part := connection.recv(2**16):
                    received += part
    statuses = re.findall(rb"HTTP/1.1 (\d+)", received)
    assert statuses.count(b"200") <= 1, received
    assert b"400" in statuses or len(statuses) == 1


@pytest.mark.parametrize("padding", [0, 100])
def test_a_body_that_looks_like_a_head_is_a_body(
    tiny_artifact: Path, tmp_path: Path, padding: int
) -> None:
    body = b"GET / HTTP/1.1\r\nUpgrade: " + b"x" * padding + b"\r\n\r\n"
    with served(tiny_artifact, tmp_path / "log") as (_, address):
        wait_ready(address)
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            head = (
                f"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode())
            reply = HTTPResponse(connection)
            reply.begin()
            assert (reply.status, bool(reply.read())) == (404, True)
            connection.sendall(body)
            for _ in range(3):  # were a byte of the body missing, these would fill it
                time.sleep(0.05)
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                reply = HTTPResponse(connection)
                reply.begin()
                assert (reply.status, json.loads(reply.read())) == (200, {"status": "alive"})
