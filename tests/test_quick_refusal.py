"""Requests that are refused on the wire get what the layers around the routes would say."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.attacks.wire import Connection, Target, connected
from service.app import quick_refusal
from service.edge.quick_refusal import QuickRefusal
from service.state import Service
from tests.support.asgi import listening
from tests.support.held import held_app

BODY = '{"text": "房间很好"}'.encode()
# It says that a page of this service asks, which those layers look into.
CLOSER_LOOK = "Origin: http://localhost"
VARYING = {"x-request-id", "date"}


async def send(
    connection: Connection, *headers: str, path: str = "/v1/predict", version: str = "1.1"
) -> None:
    lines = [
        f"POST {path} HTTP/{version}",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
        *headers,
    ]
    assert await connection.send("\r\n".join(lines).encode() + b"\r\n\r\n" + BODY)


async def receive(connection: Connection) -> tuple[int, Mapping[str, str], Any]:
    """Read one response, and no more than that."""
    head = (await connection.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await connection.reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, json.loads(body)


async def ask(
    connection: Connection, *headers: str, path: str = "/v1/predict"
) -> tuple[int, Mapping[str, str], Any]:
    await send(connection, *headers, path=path)
    return await receive(connection)


@asynccontextmanager
async def full(
    artifact: Path,
) -> AsyncIterator[tuple[Target, Service, QuickRefusal, Connection]]:
    """A service whose queue is full with a request of the connection yielded."""
    async with asyncio.timeout(60), held_app(artifact, max_queue_texts=2, max_items=2) as held:
        app, service, engine = held
        refusal = quick_refusal(service)
        async with listening(app, refusal=refusal) as target, connected(target) as first:
            await send(first)
            while not service.models.texts:
                await asyncio.sleep(0)
            try:
                yield target, service, refusal, first
            finally:
                engine.released.set()


def fixed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in VARYING}


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch", "/v1/analyze", "/v1/explain"])
async def test_it_says_what_the_layers_say(tiny_artifact: Path, path: str) -> None:
    async with full(tiny_artifact) as (target, _, _, _), connected(target) as asking:
        status, headers, body = await ask(asking, path=path)
        slow_status, slow_headers, slow_body = await ask(asking, CLOSER_LOOK, path=path)
        assert status == slow_status == 429
        assert headers["x-request-id"] == body.pop("request_id")
        assert slow_headers["x-request-id"] == slow_body.pop("request_id")
        assert body == slow_body
        assert fixed(headers) | {"content-length": ""} == (
            fixed(slow_headers) | {"content-length": ""}
        )


async def test_the_connection_can_be_used_again(tiny_artifact: Path) -> None:
    async with full(tiny_artifact) as (target, service, _, first), connected(target) as asking:
        for given in ("abc.1", "abc.2"):
            status, headers, body = await ask(asking, f"X-Request-ID: {given}")
            assert (status, headers["x-request-id"], body["request_id"]) == (429, given, given)
        service.models.find().classifier.engine.released.set()  # type: ignore[attr-defined]
        assert (await receive(first))[0] == 200
        assert (await ask(asking))[0] == 200


async def test_a_body_that_comes_later_is_ignored(tiny_artifact: Path) -> None:
    async with full(tiny_artifact) as (target, _, _, _), connected(target) as asking:
        head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n"
        asking.writer.write(head + b"x" * 10)
        assert (await receive(asking))[0] == 429
        asking.writer.write(b"x" * 30 + b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await receive(asking))[0] == 200


async def test_a_client_that_closes_is_closed(tiny_artifact: Path) -> None:
    async with full(tiny_artifact) as (target, _, _, _), connected(target) as asking:
        status, headers, _ = await ask(asking, "Connection: close")
        assert (status, headers["connection"]) == (429, "close")
        assert await asking.reader.read() == b""


@pytest.mark.parametrize(
    ("path", "headers", "version"),
    [
        ("/v1/predict", [CLOSER_LOOK], "1.1"),
        ("/v1/predict", ["X-Forwarded-For: 192.0.2.1"], "1.1"),
        ("/v1/predict", [], "1.0"),
        ("/v1/predict?key=a", [], "1.1"),
        ("/v1/nothing", [], "1.1"),
    ],
)
async def test_what_needs_a_closer_look_is_left_to_the_layers(
    tiny_artifact: Path, path: str, headers: list[str], version: str
) -> None:
    async with full(tiny_artifact) as (target, _, refusal, _), connected(target) as asking:
        await send(asking, *headers, path=path, version=version)
        await asyncio.sleep(0)
        refusal.tell()
        assert refused(refusal) == 0


def refused(refusal: QuickRefusal) -> float:
    exposed, _ = refusal._service.expose("")
    lines = exposed.decode().splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith('sentiment_requests_total{route="/v1/predict",status="429"}')
    )


async def test_refusals_are_counted_and_logged_together(
    tiny_artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with full(tiny_artifact) as (target, service, refusal, _), connected(target) as asking:
        for _ in range(3):
            await ask(asking)
        with caplog.at_level(logging.INFO, "service.access"):
            refusal.tell()
            refusal.tell()
        (record,) = caplog.records
        assert record.__dict__["fields"] == {
            "route": "/v1/predict",
            "status": 429,
            "requests": 3,
        }
        assert refused(refusal) == 3
        exposed, _ = service.expose("")
        assert b'sentiment_refusals_total{reason="queue_full"} 3.0' in exposed
