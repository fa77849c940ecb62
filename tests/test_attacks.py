"""Clients that break the protocol or wear the service out, and a well-behaved one beside them.

The attacks are those of ``bench/attacks``, which measures how long the well-behaved client waits.
"""

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from bench.attacks.client import well_behaved
from bench.attacks.floods import ATTACKS, Attack, run
from bench.attacks.shapes import CLOSED, SHAPES, Shape, post, request
from bench.attacks.wire import Target, answers, connected
from bench.serving.servers import kibibytes
from tests.support.asgi import listening
from tests.support.clock import until, wait_for
from tests.support.held import held_app
from tests.support.http import wait_ready
from tests.support.logs import log_lines
from tests.support.process import served

pytestmark = pytest.mark.process

_JSON = "Content-Type: application/json"
_NDJSON = "Content-Type: application/x-ndjson"
_CHUNKED = "Transfer-Encoding: chunked"
GROUPS = list(dict.fromkeys(shape.group for shape in SHAPES))
FLOODS = [attack for attack in ATTACKS if attack.name not in GROUPS]
# The defaults but for time, since a machine that runs tests may be slow.
SETTINGS = {"SENTIMENT_MAX_QUEUE_SECONDS": "10", "SENTIMENT_DEADLINE_SECONDS": "10"}
LARGEST_GROWTH = 200_000  # kibibytes; an endless head alone would be more in seconds


class Attacked:
    """A running service, and what is known of its process."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        parts = urlsplit(address)
        assert parts.hostname
        assert parts.port
        self.target = Target(parts.hostname, parts.port)
        self.address = address
        self.log = log
        self.process = process
        self._files = self.files
        self._memory = self.memory

    @property
    def files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def memory(self) -> int:
        return kibibytes(Path(f"/proc/{self.process.pid}/status"), "VmRSS:")

    def assert_unharmed(self) -> None:
        """Nothing failed, and all that was taken is given back."""
        assert self.process.poll() is None
        errors = [
            line
            for line in log_lines(self.log)
            if line["level"] == "error" or int(str(line.get("status", 0))) >= 500
        ]
        assert errors == []
        wait_for(lambda: self.files <= self._files)
        assert self.memory - self._memory < LARGEST_GROWTH


@pytest.fixture(scope="module")
def attacked(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    log = tmp_path_factory.mktemp("attacked") / "log"
    with served(tiny_artifact, log, **SETTINGS) as (process, address):
        wait_ready(address)
        post = {"text": "房间很好"}
        assert httpx2.post(f"{address}/v1/predict", json=post).status_code == 200
        yield Attacked(process, address, log)


@contextmanager
def well_behaved_beside(target: Target) -> Iterator[None]:
    """A client that asks meanwhile, and gets all its answers."""
    statuses: set[str] = set()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            statuses.update(status for status, _ in well_behaved(target, 0.5))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        ended.set()
        asking.join()
    assert statuses == {"200"}


async def _answer_all(target: Target, shapes: list[Shape]) -> dict[str, list[str]]:
    at_once = asyncio.Semaphore(8)

    async def answer(shape: Shape) -> list[str]:
        async with at_once:
            return await answers(target, shape.sent)

    found = await asyncio.gather(*(answer(shape) for shape in shapes))
    return {shape.name: statuses for shape, statuses in zip(shapes, found, strict=True)}


@pytest.mark.parametrize("group", GROUPS)
async def test_a_request_that_no_honest_client_sends_gets_its_answer(
    attacked: Attacked, group: str
) -> None:
    shapes = [shape for shape in SHAPES if shape.group == group]
    with well_behaved_beside(attacked.target):
        found = await _answer_all(attacked.target, shapes)
    wrong = {
        shape.name: found[shape.name]
        for shape in shapes
        if not set(found[shape.name]) <= shape.statuses
    }
    assert wrong == {}


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.name)
async def test_a_flood_is_bounded_and_others_are_answered_beside_it(
    attacked: Attacked, flood: Attack
) -> None:
    few = replace(flood, clients=min(flood.clients, 200))
    with well_behaved_beside(attacked.target):
        counts = await run(few, attacked.target, 0.5)
    assert set(counts) <= flood.statuses


async def test_attacks_leave_no_errors_open_files_or_memory(attacked: Attacked) -> None:
    with well_behaved_beside(attacked.target):  # so that it holds for this test alone too
        await _answer_all(attacked.target, [s for s in SHAPES if s.group == "smuggling"])
    attacked.assert_unharmed()


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        request("X: " + "a" * 20_000, line="GET /livez"),
        request("Content-Length: 5, 5"),
    ],
)
async def test_what_the_parser_refuses_gets_the_one_error_body(
    attacked: Attacked, sent: bytes
) -> None:
    async with connected(attacked.target) as connection:
        await connection.send(sent)
        head, _, body = (await connection.reader.read()).partition(b"\r\n\r\n")
    response = httpx2.Response(int(head.split()[1]), content=body)
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert b"x-content-type-options: nosniff" in head
    assert set(response.json()) == {"type", "title", "status", "detail"}
    assert response.json()["status"] == response.status_code


async def test_answers_to_earlier_requests_come_before_a_broken_one_closes(
    attacked: Attacked,
) -> None:
    body = '{"text": "房间很好"}'.encode()
    first = request("Content-Type: application/json", f"Content-Length: {len(body)}", body=body)
    found = await answers(attacked.target, first + b"nonsense\r\n\r\n", quiet=5)
    assert found == ["200"]


# What a client sends and then waits with: a connection that nobody asks anything on, one that owes
# the rest of a body, and one whose request nobody wanted.
WAITING = {
    "idle": (b"", request(line="GET /livez"), b"200"),
    "body": (post(b'{"text": "a"}')[:-1], b"}", b"200"),
    "chunks": (request(_JSON, _CHUNKED, body=b"1\r\n{\r\n"), b"0\r\n\r\n", b"400"),
}


@pytest.mark.parametrize(("first", "rest", "status"), WAITING.values(), ids=WAITING)
def test_the_connection_idle_for_longest_makes_way_and_those_in_use_stay(
    tiny_artifact: Path, tmp_path: Path, first: bytes, rest: bytes, status: bytes
) -> None:
    most = 20
    settings = {
        **SETTINGS,
        "SENTIMENT_MAX_CONNECTIONS": str(most),
        "SENTIMENT_KEEP_ALIVE_SECONDS": "60",
        "SENTIMENT_DEADLINE_SECONDS": "60",
    }
    with served(tiny_artifact, tmp_path / "log", **settings) as (_, address):
        wait_ready(address)
        parts = urlsplit(address)
        target = (str(parts.hostname), int(str(parts.port)))
        with ExitStack() as opened, httpx2.Client() as client:
            waiting = []
            for _ in range(2 * most):
                waiting.append(opened.enter_context(socket.create_connection(target, timeout=10)))
                waiting[-1].sendall(first)
                # On one connection, which is idle for less long than any but the newest.
                assert client.get(f"{address}/livez").status_code == 200
            for connection in waiting[:most]:
                with suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
            waiting[-1].sendall(rest)
            assert waiting[-1].recv(12) == b"HTTP/1.1 " + status


async def test_connections_in_use_are_never_evicted(tiny_artifact: Path) -> None:
    """Neither with an answer in flight, nor with a stream that has begun, nor with a pipeline."""

    async with (
        asyncio.timeout(120),
        held_app(tiny_artifact, max_queue_texts=100, max_items=2) as (app, service, engine),
        listening(app, most=4) as target,
        connected(target) as single,
        connected(target) as stream,
        connected(target) as pipeline,
    ):
        body = b'{"text": "a"}'
        await single.send(post(body))
        lines = request(_NDJSON, _CHUNKED, line="POST /v1/predict/stream")
        await stream.send(lines + b"e\r\n" + body + b"\n\r\n")
        await pipeline.send(post(body) * 2 + post(body)[: -len(body)])
        await until(lambda: service.models.find().batcher.admission.texts == 3)
        for _ in range(20):
            async with connected(target) as flood:
                assert await flood.statuses(quiet=1, patience=0.05) == ["silent"]
                async with connected(target) as polite:
                    await polite.send(request("Connection: close", line="GET /livez"))
                    assert await polite.statuses() == ["200"]
                assert await flood.statuses() == [CLOSED]
        engine.released.set()
        await stream.send(b"0\r\n\r\n")
        await pipeline.send(body)
        assert await single.statuses(quiet=1) == ["200"]
        assert await stream.statuses(quiet=1) == ["200"]
        assert await pipeline.statuses(quiet=1) == ["200"] * 3
