"""Streams of real clients: slow, interactive, aborted, or cut off by a signal."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from bench.serving.servers import kibibytes
from tests.support.clock import wait_for
from tests.support.http import wait_ready
from tests.support.logs import log_lines
from tests.support.process import PATIENT, served
from tests.support.repository import read
from tests.support.stream import LINE, NDJSON, PATH
from tests.support.texts import TEXT


class Connection:
    """A client that writes in a thread and reads as it is asked to."""

    def __init__(self, address: str, parts: Iterable[bytes], **headers: str) -> None:
        host, _, port = urlsplit(address).netloc.partition(":")
        self.http = http.client.HTTPConnection(host, int(port), timeout=60)
        self.http.putrequest("POST", PATH)
        for name, value in {**NDJSON, "transfer-encoding": "chunked", **headers}.items():
            self.http.putheader(name, value)
        self.http.endheaders()
        # The client closes its own when the answer ends, under the hands of the writing thread.
        self.socket: socket.socket = self.http.sock.dup()
        self.error: OSError | None = None
        self.response: http.client.HTTPResponse | None = None
        self.sent = 0
        self._parts = parts
        self._writing = threading.Thread(target=self._write, daemon=True)
        self._writing.start()

    def _write(self) -> None:
        try:
            for piece in self._parts:
                self.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.sent += 1
            self.socket.sendall(b"0\r\n\r\n")
        except OSError as error:
            self.error = error

    def lines(self) -> Iterator[dict[str, Any]]:
        self.response = self.http.getresponse()
        assert self.response.status == 200
        while line := self.response.readline():
            yield json.loads(line)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the service may have closed it
            self.socket.shutdown(socket.SHUT_RDWR)  # which ends the writing, too
        self._writing.join(60)
        self.socket.close()
        self.http.close()
        if self.response:
            self.response.close()


@pytest.mark.process
def test_open_streams_leave_room_to_other_requests_and_to_the_streams_of_others(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    ended = threading.Event()

    def hardly_anything() -> Iterator[bytes]:
        yield b"\n"
        ended.wait(60)

    limits = {
        "SENTIMENT_MAX_BODY_BYTES": str(2**20),
        "SENTIMENT_MAX_INFLIGHT_BODY_BYTES": str(8 * 2**20),
    }
    with served(tiny_artifact, tmp_path / "log", **limits) as (_, address):
        wait_ready(address)
        streams = [Connection(address, hardly_anything()) for _ in range(2)]
        for stream in streams:
            stream.response = stream.http.getresponse()
            assert stream.response.status == 200
        refused = httpx2.post(f"{address}{PATH}", content=LINE, headers=NDJSON)
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        assert httpx2.post(f"{address}/v1/predict", json={"text": TEXT}).status_code == 200
        other = NDJSON | {"x-forwarded-for": "192.0.2.1"}
        assert httpx2.post(f"{address}{PATH}", content=LINE, headers=other).status_code == 200
        ended.set()
        for stream in streams:
            stream.close()
        wait_for(
            lambda: httpx2.post(f"{address}{PATH}", content=LINE, headers=NDJSON).status_code == 200
        )


def waiting_texts(address: str) -> float:
    for line in httpx2.get(f"{address}/metrics").text.splitlines():
        if line.startswith("sentiment_queue_texts "):
            return float(line.split()[1])
    raise AssertionError("no such metric")


def resident_megabytes(process_id: int) -> float:
    return kibibytes(Path(f"/proc/{process_id}/status"), "VmRSS:") * 1024 / 1e6


@pytest.mark.process
def test_a_client_that_reads_while_it_writes_gets_100_000_lines_in_flat_memory(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    with served(tiny_artifact, tmp_path / "log", **PATIENT) as (process, address):
        wait_ready(address)
        count = 100_000
        parts = (
            b"".join(b'{"id":"%d","text":"%b"}\n' % (n, TEXT.encode()) for n in range(s, s + 100))
            for s in range(0, count, 100)
        )
        connection = Connection(address, parts)
        held = []
        number = -1
        for number, line in enumerate(connection.lines()):
            if number == count:
                assert line["summary"]["answered"] == count
            else:
                assert line["id"] == str(number)
                assert line["label"] == "positive"
            if number % 10_000 == 9_999:
                held.append(resident_megabytes(process.pid))
        assert number == count
        assert max(held) - held[0] < 20
        connection.close()


@pytest.mark.process
def test_the_client_of_the_documents_reads_while_it_writes(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"```python\n(.*?)```", read("docs/api.md"), re.DOTALL)
    assert found
    with served(tiny_artifact, tmp_path / "log", **PATIENT) as (_, address):
        wait_ready(address)
        exec(found[1].replace("8000", address.rsplit(":", 1)[1]), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20_001
    assert "'answered': 20000" in lines[-1]


@pytest.mark.process
def test_an_interactive_client_gets_each_answer_before_it_sends_on(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    with served(tiny_artifact, tmp_path / "log", **PATIENT) as (_, address):
        wait_ready(address)
        answered = threading.Semaphore(1)

        def parts() -> Iterator[bytes]:
            for _ in range(5):
                assert answered.acquire(timeout=60)
                yield LINE

        connection = Connection(address, parts(), expect="100-continue")
        assert connection.socket.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for number, line in enumerate(connection.lines()):
            assert ("label" in line) == (number < 5)
            answered.release()
        connection.close()


def endless() -> Iterator[bytes]:
    while True:
        yield LINE * 100


@pytest.mark.process
def answers_as_ever(address: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    """After one stream was broken off: nothing waits, nothing went wrong, and the service ends."""
    wait_for(lambda: waiting_texts(address) == 0)
    wait_for(lambda: log.read_text(encoding="utf-8").count(PATH) == 1)
    wait_for(lambda: httpx2.post(f"{address}/v1/predict", json={"text": TEXT}).status_code == 200)
    process.terminate()
    assert process.wait(60) == 0
    assert [line for line in log_lines(log) if line["level"] != "info"] == []


@pytest.mark.process
def test_a_client_that_aborts_frees_its_places(tiny_artifact: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(tiny_artifact, log, **PATIENT) as (process, address):
        wait_ready(address)
        abort = Connection(address, endless())
        lines = abort.lines()
        assert all("label" in next(lines) for _ in range(500))
        abort.close()
        answers_as_ever(address, log, process)


@pytest.mark.process
def test_a_client_that_does_not_read_is_let_go(tiny_artifact: Path, tmp_path: Path) -> None:
    settings = {"SENTIMENT_STREAM_IDLE_SECONDS": "1", "SENTIMENT_DEADLINE_SECONDS": "1"}
    log = tmp_path / "log"
    with served(tiny_artifact, log, **settings) as (process, address):
        wait_ready(address)
        # The system closes the connection of a client that takes nothing.
        silent = Connection(address, endless())
        wait_for(lambda: silent.error is not None)
        silent.close()
        answers_as_ever(address, log, process)


@pytest.mark.process
def test_a_slow_reader_holds_up_itself_alone(tiny_artifact: Path, tmp_path: Path) -> None:
    with served(tiny_artifact, tmp_path / "log", **PATIENT) as (process, address):
        wait_ready(address)
        slow = Connection(address, endless())
        lines = slow.lines()
        next(lines)
        before = -1
        while before != slow.sent or waiting_texts(address):  # until nothing more is taken from it
            before = slow.sent
            time.sleep(1)
        assert httpx2.post(f"{address}/v1/predict", json={"text": TEXT}).status_code == 200
        held = resident_megabytes(process.pid)
        time.sleep(1)
        assert resident_megabytes(process.pid) - held < 5
        # It was not forgotten: it resumes as soon as it reads.
        for _ in range(100 * before + 1000):
            assert "label" in next(lines)
        assert slow.sent > before
        slow.close()


@pytest.mark.process
def test_a_signal_ends_a_stream_behind_the_lines_that_were_read(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    with served(tiny_artifact, tmp_path / "log", **PATIENT) as (process, address):
        wait_ready(address)
        connection = Connection(address, endless())
        answered = 0
        broken_off: dict[str, Any] = {}
        end: dict[str, Any] = {}
        for line in connection.lines():
            if "label" in line:
                answered += 1
            elif "error" in line:
                broken_off = line["error"]
            else:
                end = line
            if answered == 500:
                process.send_signal(signal.SIGTERM)
        assert broken_off["status"] == 503
        assert "send again" in broken_off["detail"]
        assert end["summary"]["lines"] == answered >= 500
        connection.close()
        assert process.wait(60) == 0
