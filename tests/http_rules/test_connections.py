"""RFC 9110 and 9112: 100 Continue, and when a connection is kept, half closed or left."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from http.client import HTTPResponse
from pathlib import Path

import pytest

from bench.attacks.wire import Connection, connected
from tests.support.adapters import BAIDU
from tests.support.asgi import listening
from tests.support.clock import until
from tests.support.held import held_app
from tests.support.wire import (
    HOST,
    ITEMS,
    NEXT,
    TEXT,
    Wire,
    get,
    header,
    received,
    statuses,
)

pytestmark = pytest.mark.process


# RFC 9110, 10.1.1: clients that expect 100 Continue

EXPECTING = b"Content-Type: application/json\r\nExpect: 100-continue\r\n"


def expecting(path: str, version: str, length: int) -> bytes:
    line = f"POST {path} HTTP/{version}\r\n".encode()
    return line + HOST + EXPECTING + b"Content-Length: %d\r\n\r\n" % length


def test_a_body_that_is_waited_for_is_asked_for(wire: Wire) -> None:
    with wire.connect() as connection:
        connection.sendall(expecting("/v1/predict", "1.1", len(TEXT)))
        assert connection.recv(2**16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(TEXT)
        connection.shutdown(socket.SHUT_WR)
        assert statuses(received(connection)) == [200]


def test_nobody_is_told_to_continue_in_http_1_0(wire: Wire) -> None:
    assert statuses(wire.ask(expecting("/v1/predict", "1.0", len(TEXT)) + TEXT)) == [200]


@pytest.mark.parametrize(
    ("port", "path", "status"),
    [
        ("main", "/nothing", 404),
        ("main", "/livez", 405),
        ("main", "/v1/predict/stream", 415),
        ("probes", "/nothing", 404),
    ],
)
def test_an_answer_in_place_of_100_says_that_the_connection_closes_and_closes_it(
    wire: Wire, port: str, path: str, status: int
) -> None:
    answer = wire.ask(expecting(path, "1.1", 5), port, half_closed=False)
    assert statuses(answer) == [status]
    assert header(answer, "connection") == "close"


# RFC 9112, 9: connections


@pytest.mark.parametrize("port", ["main", "probes"])
def test_a_connection_is_kept_until_one_side_wants_it_closed(wire: Wire, port: str) -> None:
    closing = get(HOST + b"Connection: close\r\n")
    with wire.connect(port) as connection:
        for _ in range(2):
            connection.sendall(NEXT)
            reply = HTTPResponse(connection)
            reply.begin()
            assert (reply.status, json.loads(reply.read())) == (200, {"status": "alive"})
        connection.sendall(closing)
        answer = received(connection)
        assert (statuses(answer), header(answer, "connection")) == ([200], "close")
    assert statuses(wire.ask(NEXT + closing, port, half_closed=False)) == [200, 200]
    assert statuses(wire.ask(get(line=b"GET /livez HTTP/1.0"), port, half_closed=False)) == [200]


@pytest.mark.parametrize("port", ["main", "probes"])
def test_an_answer_to_head_has_no_body(wire: Wire, port: str) -> None:
    head, _, body = wire.ask(get(line=b"HEAD /livez HTTP/1.1"), port).partition(b"\r\n\r\n")
    assert (statuses(head), body) == ([200], b"")
    assert int(header(head, "content-length")) > 0


@pytest.mark.parametrize("port", ["main", "probes"])
def test_the_body_of_a_get_is_not_the_next_request(wire: Wire, port: str) -> None:
    hidden = get(HOST + b"Content-Length: %d\r\n" % len(NEXT)) + NEXT
    assert statuses(wire.ask(hidden, port)) == [200]


@pytest.mark.parametrize("port", ["main", "probes"])
def test_a_pipeline_is_answered_whole_to_a_client_that_sends_no_more(wire: Wire, port: str) -> None:
    assert statuses(wire.ask(NEXT * 20, port)) == [200] * 20
    assert statuses(wire.ask(NEXT * 20 + NEXT[:-3], port))[:20] == [200] * 20


# RFC 9112, 9.6: half a connection is closed

TO_MODEL = [
    ("/v1/predict", TEXT),
    ("/v1/predict/batch", ITEMS),
    ("/v1/analyze", TEXT),
    ("/v1/explain", TEXT),
    ("/v1/predict/stream", TEXT),
    ("/predict/senta_lstm", '{"texts": ["房间很好"]}'.encode()),
    (f"{BAIDU}?charset=UTF-8", TEXT),
    ("/predict", '{"inputs": "房间很好"}'.encode()),
]


def to_model(path: str, body: bytes, version: str = "1.1") -> bytes:
    kind = "application/x-ndjson" if path.endswith("stream") else "application/json"
    head = f"POST {path} HTTP/{version}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + HOST + b"\r\n" + body


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("path", "body"), TO_MODEL)
def test_a_client_that_sends_no_more_gets_the_same_answer_as_any(
    wire: Wire, path: str, body: bytes, version: str
) -> None:
    answer = wire.ask(to_model(path, body, version))
    assert statuses(answer)[-1] == 200
    assert b"positive" in answer or b"sentiment" in answer


@pytest.mark.parametrize(("path", "body"), TO_MODEL[:4])
async def test_a_half_closed_connection_still_gets_its_answers(
    tiny_artifact: Path, path: str, body: bytes
) -> None:
    async with (
        asyncio.timeout(60),
        held_app(tiny_artifact, max_queue_texts=100, max_items=2) as (app, _, engine),
        listening(app) as target,
        connected(target) as connection,
    ):
        await connection.send(to_model(path, body))
        connection.writer.write_eof()
        # The service has noticed it, for it now asks whether somebody is there.
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await connection.reader.readexactly(len(interim)) == interim
        engine.released.set()
        answer = await connection.reader.read()
        assert statuses(answer.replace(interim, b"")) == [200]
        assert header(answer, "connection") == "close"


async def closes(connection: Connection) -> None:
    connection.writer.close()


async def resets(connection: Connection) -> None:
    connection.reset()


@pytest.mark.parametrize("leave", [closes, resets])
async def test_work_for_a_client_that_left_is_dropped(
    tiny_artifact: Path, leave: Callable[[Connection], Awaitable[None]]
) -> None:
    async with (
        asyncio.timeout(60),
        held_app(tiny_artifact, max_queue_texts=8, max_items=2) as (app, service, engine),
        listening(app) as target,
        connected(target) as connection,
    ):
        batcher = service.models.find().batcher
        await connection.send(to_model("/v1/predict", TEXT))
        await asyncio.to_thread(engine.entered.wait, 10)
        async with connected(target) as second:
            await second.send(to_model("/v1/predict", TEXT))
            await until(lambda: batcher.admission.texts == 2)
            await leave(second)
            await until(lambda: batcher.admission.texts == 1)
        engine.released.set()
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200")
        await until(lambda: batcher.admission.texts == 0)
        assert engine.runs == 1


@pytest.mark.parametrize("port", ["main", "probes"])
def test_clients_that_reset_their_connections_are_no_error(wire: Wire, port: str) -> None:
    for _ in range(50):
        with wire.connect(port) as connection:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(get(line=b"GET /metrics HTTP/1.1") * 3)
    assert statuses(wire.ask(get(), port)) == [200]  # and see the fixture, which reads the log
