"""The outermost layer: what it refuses unread, whom it stops working for, what it logs."""

import asyncio
import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message

from service.app import create_app
from service.settings import load_settings
from service.state import Service
from tests.support.asgi import BODY, body_then, part, post, sends, unreadable
from tests.support.clock import until
from tests.support.held import ROOM_FOR_TWO, held_app
from tests.support.http import assert_problem
from tests.support.logs import access_lines
from tests.support.texts import TEXT

GET_PATHS = ["/livez", "/readyz", "/health", "/metrics", "/v1/model", "/docs", "/openapi.json"]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_answered_as_get_without_a_body(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == client.get(path).status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 0


def test_head_of_a_path_that_takes_none_is_refused(client: TestClient) -> None:
    assert client.head("/v1/predict").status_code == 405
    assert client.head("/nothing").status_code == 404


async def test_a_full_queue_refuses_before_the_body_is_read(tiny_artifact: Path) -> None:
    async with held_app(tiny_artifact, **ROOM_FOR_TWO) as (app, service, engine):
        stays = asyncio.Event()
        first = [asyncio.create_task(post(app, body_then(stays))) for _ in range(2)]
        await until(lambda: service.status == "saturated")
        for path in ("/v1/predict", "/v1/predict/batch"):
            assert await post(app, unreadable, path) == 429
        assert await post(app, unreadable, content_length="99999999") == 429
        engine.released.set()
        assert await asyncio.gather(*first) == [200, 200]
        assert await post(app, unreadable, content_length="99999999") == 413


async def test_a_service_without_a_model_refuses_before_the_body_is_read(tmp_path: Path) -> None:
    app = create_app(load_settings(model=tmp_path))
    assert await post(app, unreadable) == 503


async def test_a_client_that_goes_away_frees_its_place_before_the_deadline(
    tiny_artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async with held_app(tiny_artifact, **ROOM_FOR_TWO) as (app, service, engine):
        stays, left = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(post(app, body_then(stays)))
        await asyncio.to_thread(engine.entered.wait, 10)
        waiting = asyncio.create_task(post(app, body_then(left)))
        model = service.models.find()
        await until(lambda: model.batcher.admission.saturated)
        left.set()
        assert await asyncio.wait_for(waiting, 60) == 499
        await until(lambda: not model.batcher.admission.saturated)
        engine.released.set()
        assert await running == 200
        assert engine.runs == 1
        exposed = service.metrics.expose("")[0].decode()
        assert 'sentiment_refusals_total{reason="client_gone"} 1.0' in exposed

    statuses = [line["status"] for line in access_lines(caplog)]
    assert statuses == [499, 200]


async def test_a_client_that_leaves_while_it_sends_is_no_error(
    client: TestClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    messages: list[Message] = [
        {"type": "http.request", "body": b'{"te', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    app = create_app(service.settings, service)
    assert await post(app, receive) == 499
    assert [line["status"] for line in access_lines(caplog)] == [499]
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_that_does_not_arrive_is_a_408(tiny_artifact: Path) -> None:
    async with held_app(tiny_artifact, **ROOM_FOR_TWO, deadline_seconds=0.1) as (app, service, _):
        for receive in (sends(), sends(part(BODY[:5]))):
            assert await asyncio.wait_for(post(app, receive), 60) == 408
        exposed = service.metrics.expose("")[0].decode()
        assert 'sentiment_refusals_total{reason="slow_body"} 2.0' in exposed


async def test_bodies_under_way_are_bounded_by_what_is_announced_or_has_come(
    tiny_artifact: Path,
) -> None:
    limits = {"max_body_bytes": 100, "max_inflight_body_bytes": 150}
    async with held_app(tiny_artifact, **ROOM_FOR_TWO, **limits) as (app, service, engine):
        engine.released.set()
        announced = asyncio.create_task(post(app, sends(), content_length="100"))
        await asyncio.sleep(0)
        assert await post(app, unreadable, content_length="26") == 429
        assert await post(app, sends(part(BODY), part(b" " * 50))) == 429
        # Half of what is left, which is for the next.
        assert await post(app, sends(part(BODY, more=False)), content_length="25") == 200
        assert await post(app, sends(part(BODY), part(b" ", more=False))) == 200
        exposed = service.metrics.expose("")[0].decode()
        assert 'sentiment_refusals_total{reason="inflight_bodies_full"} 2.0' in exposed
        assert 'sentiment_refusals_total{reason="queue_full"} 0.0' in exposed
        announced.cancel()


async def test_a_body_counts_until_its_request_is_answered(tiny_artifact: Path) -> None:
    limits = {"max_body_bytes": 100, "max_inflight_body_bytes": 100}
    async with held_app(tiny_artifact, **ROOM_FOR_TWO, **limits) as (app, _, engine):
        answering = asyncio.create_task(post(app, body_then(asyncio.Event())))
        await asyncio.to_thread(engine.entered.wait, 10)
        assert await post(app, unreadable, content_length="100") == 429
        engine.released.set()
        assert await answering == 200


@pytest.mark.parametrize(
    ("messages", "headers", "status"),
    [
        *(
            (messages, headers, status)
            for headers in ({}, {"content_length": "100"})
            for messages, status in (
                ([part(BODY, more=False)], 200),
                ([part(b"{" * len(BODY), more=False)], 400),
                ([part(BODY)], 408),
                ([part(BODY), {"type": "http.disconnect"}], 499),
            )
        ),
        ([part(BODY), part(b" " * 99)], {}, 413),
    ],
)
async def test_however_a_request_ends_its_body_counts_no_longer(
    tiny_artifact: Path, messages: list[Message], status: int, headers: dict[str, str]
) -> None:
    # The last would not fit beside what is left of the first.
    limits = {"max_body_bytes": 100, "max_inflight_body_bytes": 99 + len(BODY)}
    seconds = 0.5 if status == 408 else 60
    async with held_app(tiny_artifact, **ROOM_FOR_TWO, deadline_seconds=seconds, **limits) as held:
        app, _, engine = held
        engine.released.set()
        assert await post(app, sends(*messages), **headers) == status
        last = sends(part(BODY, more=False))
        assert await post(app, last, content_length="100") != 429


def test_while_draining_a_connection_is_not_kept(client: TestClient, service: Service) -> None:
    assert "connection" not in client.post("/v1/predict", json={"text": TEXT}).headers
    service.draining = True
    try:
        answer = client.post("/v1/predict", json={"text": TEXT})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert_problem(client.get("/readyz"), 503, "shutting down")
    finally:
        service.draining = False
    assert client.get("/readyz").status_code == 200


def test_a_log_line_tells_route_status_and_stages(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    header = client.post("/v1/predict", json={"text": TEXT}).headers["server-timing"]
    (line,) = access_lines(caplog)
    assert (line["method"], line["route"], line["status"]) == ("POST", "/v1/predict", 200)
    assert list(line["stages"]) == ["encode", "queue", "infer"]
    assert header == ", ".join(f"{name};dur={ms:.3f}" for name, ms in line["stages"].items())
    assert line["milliseconds"] >= max(line["stages"].values())
    assert "trace_id" not in line


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-adds", TRACE),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        ("00-secret-01", None),
    ],
)
def test_the_trace_of_a_caller_is_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture, given: str, trace: str | None
) -> None:
    caplog.set_level(logging.INFO)
    client.post("/v1/predict", json={"text": TEXT}, headers={"traceparent": given})
    (line,) = access_lines(caplog)
    assert line.get("trace_id") == trace
