"""Lines in, answers out: order, errors in their place, and room for other requests."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Receive

from service.app import create_app
from service.inference.streams import Streams
from service.routes.stream import MAX_LINE_BYTES, MEDIA_TYPES
from service.settings import load_settings
from tests.support.asgi import body_then, part, post, sends
from tests.support.clock import until
from tests.support.held import ROOM_FOR_TWO, held_app
from tests.support.http import assert_problem, wait_ready
from tests.support.stream import LINE, NDJSON, PATH
from tests.support.texts import BLANK_TEXTS, TEXT


def ask(client: TestClient, *lines: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What lines are answered with, and the summary; bytes are sent as they are."""
    raw = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
        for line in lines
    ]
    response = client.post(PATH, content=b"\n".join(raw) + b"\n", headers=NDJSON)
    assert response.status_code == 200
    assert response.headers["content-type"] == MEDIA_TYPES[0]
    *answers, end = [json.loads(line) for line in response.content.splitlines()]
    assert set(end) == {"summary", "model"}
    return answers, end["summary"]


def test_lines_are_answered_in_order_as_in_a_batch(client: TestClient) -> None:
    items = [{"id": "b", "text": "早餐很差"}, {"text": TEXT}, {"id": "a", "text": "电影在三楼"}]
    answers, summary = ask(client, *items)
    results = client.post("/v1/predict/batch", json={"items": items}).json()["results"]
    for answer, result in zip(answers, results, strict=True):
        # In int8 what runs together shares its rounding.
        for name in ("confidence", "probabilities"):
            assert answer.pop(name) == pytest.approx(result.pop(name), abs=0.03)
        assert answer == result
    labels = {"positive": 1, "neutral": 1, "negative": 1}
    assert summary == {"lines": 3, "answered": 3, "failed": 0, "labels": labels}


def test_a_bad_line_is_an_error_in_its_place(client: TestClient) -> None:
    bad: list[tuple[object, int, str, str | None]] = [
        (b"{", 400, "not JSON", None),
        (b"[" * 60_000, 400, "not JSON", None),
        (b"9" * 5000, 400, "not JSON", None),
        (b'{"text": "\xff"}', 400, "not UTF-8", None),
        (5, 422, "the line must be an object", None),
        ({"id": "c"}, 422, "text is missing", "c"),
        ({"id": "d", "text": 1}, 422, "text must be a string", "d"),
        ({"id": "e", "text": TEXT, "more": 1}, 422, "more is unknown", "e"),
        ({"id": [7], "text": TEXT}, 422, "id must be", None),
        *[({"id": "f", "text": blank}, 422, "empty or blank", "f") for blank in BLANK_TEXTS],
        ({"id": "g", "text": "好" * 10_001}, 413, "10001 characters", "g"),
        (b'{"text": "\\ud800"}', 422, "surrogate", None),
        (b'{"text": "' + b"x" * MAX_LINE_BYTES + b'"}', 413, "longer than 65536 bytes", None),
    ]
    good = {"text": TEXT}
    lines = [line for line, *_ in bad for line in (line, good)]
    answers, summary = ask(client, *lines)
    for number, (failure, answer, (line, status, detail, identifier)) in enumerate(
        zip(answers[::2], answers[1::2], bad, strict=True)
    ):
        assert failure["line"] == 2 * number + 1
        assert failure["error"]["status"] == status, line
        assert detail in failure["error"]["detail"]
        assert failure.get("id") == identifier
        assert answer["label"] == "positive"
    assert summary["lines"] == len(lines)
    assert summary["answered"] == summary["failed"] == len(bad)


def test_blank_lines_get_no_answer_and_a_last_line_needs_no_end(client: TestClient) -> None:
    content = b"\n \r\n" + LINE.replace(b"\n", b"\r\n") + b"\n" + LINE.rstrip()
    response = client.post(PATH, content=content, headers=NDJSON)
    lines = [json.loads(line) for line in response.content.splitlines()]
    assert [line.get("label") for line in lines] == ["positive", "positive", None]
    content = b"\n\n{\n\n" + LINE + b'"\xe5\xa5\xbd"\n' + b'"'
    response = client.post(PATH, content=content, headers=NDJSON)
    failure, *answers, late, _ = [json.loads(line) for line in response.content.splitlines()]
    assert [failure["line"], late["line"]] == [3, 7]
    assert all("line" not in answer for answer in answers)
    assert client.post(PATH, content=b"", headers=NDJSON).json()["summary"]["lines"] == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "text/plain"},
        {"content-type": f"{MEDIA_TYPES[0]}; charset=gbk"},
        {**NDJSON, "content-encoding": "gzip"},
    ],
)
def test_another_media_type_is_a_415(client: TestClient, headers: dict[str, str]) -> None:
    assert_problem(client.post(PATH, content=LINE, headers=headers), 415)


@pytest.mark.parametrize("media_type", [*MEDIA_TYPES, f"{MEDIA_TYPES[0]}; charset=utf-8"])
def test_each_name_of_json_lines_is_taken(client: TestClient, media_type: str) -> None:
    response = client.post(PATH, content=LINE, headers={"content-type": media_type})
    assert response.status_code == 200


def test_a_stream_is_counted_as_other_requests_are(client: TestClient) -> None:
    def counted(name: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    names = (
        f'sentiment_requests_total{{route="{PATH}",status="200"}}',
        'sentiment_predictions_total{label="positive"}',
        "sentiment_failed_texts_total",
    )
    before = [counted(name) for name in names]
    ask(client, {"text": TEXT}, {"text": TEXT}, {"text": " "})
    assert [counted(name) - there for name, there in zip(names, before, strict=True)] == [1, 2, 1]


def test_the_openapi_document_describes_it(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"][PATH]["post"]
    (body,) = operation["requestBody"]["content"].items()
    assert body[0] == MEDIA_TYPES[0]
    # Generators are told of a string, which it is, and people of its lines.
    for _, declared in (body, *operation["responses"]["200"]["content"].items()):
        assert declared["schema"] == {"type": "string", "format": "binary"}
    assert "BatchItem" in json.dumps(body[1]["x-line-schema"])
    expected = "200 400 401 403 404 415 421 422 429 500 503"
    assert set(operation["responses"]) == set(expected.split())
    (content,) = operation["responses"]["200"]["content"].items()
    assert content[0] == MEDIA_TYPES[0]
    assert "StreamEnd" in json.dumps(content[1])


def test_neither_the_limit_of_a_body_nor_that_of_uploads_holds(tiny_artifact: Path) -> None:
    settings = load_settings(model=tiny_artifact, max_body_bytes=1000, max_inflight_body_bytes=1000)
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        answers, _ = ask(client, *[{"text": TEXT}] * 200)
        assert len(answers) == 200
        assert_problem(client.post("/v1/predict", json={"text": "好" * 1000}), 413)


async def stream(app: Any, receive: Receive) -> tuple[int, list[dict[str, Any]]]:
    """The status and the lines of a stream whose client never stops reading."""
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    async def tap(scope: Any, receive: Receive, send: Any) -> None:
        async def both(message: Message) -> None:
            await keep(message)
            await send(message)

        await app(scope, receive, both)

    status = await post(tap, receive, PATH, **{"content-type": MEDIA_TYPES[0]})
    body = b"".join(message.get("body", b"") for message in sent)
    return status, [json.loads(line) for line in body.splitlines()]


async def test_a_full_queue_refuses_a_stream_by_its_head(tiny_artifact: Path) -> None:
    async with held_app(tiny_artifact, **ROOM_FOR_TWO) as (app, service, engine):
        stays = asyncio.Event()
        first = [asyncio.create_task(post(app, body_then(stays))) for _ in range(2)]
        await until(lambda: service.status == "saturated")
        status, _ = await stream(app, sends(part(LINE, more=False)))
        assert status == 429
        engine.released.set()
        assert await asyncio.gather(*first) == [200, 200]
        # In the middle it waits for room: five lines go through a queue of two.
        status, lines = await stream(app, sends(part(LINE * 5, more=False)))
        assert (status, lines[-1]["summary"]["answered"]) == (200, 5)


async def test_streams_leave_room_and_turns_to_single_requests(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"max_queue_texts": 512, "max_items": 2, "max_batch_texts": 4}
    async with held_app(tiny_artifact, **limits) as (app, service, engine):
        sizes: list[int] = []
        run = engine.logits

        def note(batch: Any) -> Any:
            sizes.append(len(batch))
            return run(batch)

        monkeypatch.setattr(engine, "logits", note)
        streams = [
            asyncio.create_task(stream(app, sends(part(LINE * 1000, more=False)))) for _ in range(2)
        ]
        batcher = service.models.find().batcher
        await until(lambda: batcher.admission.texts == 128)
        await asyncio.sleep(0.1)  # in which they would take more
        assert batcher.admission.texts == 128
        assert service.status == "ready"
        single = asyncio.create_task(post(app, body_then(asyncio.Event())))
        await until(lambda: batcher.admission.texts == 129)
        engine.released.set()
        assert await single == 200
        # One run of a stream was under way, and perhaps one more went first.
        assert 1 in sizes[:3]
        for _, lines in await asyncio.gather(*streams):
            assert lines[-1]["summary"]["answered"] == 1000


async def test_a_client_that_goes_away_frees_its_places(tiny_artifact: Path) -> None:
    async with held_app(tiny_artifact) as (app, service, engine):
        tasks = asyncio.all_tasks()
        gone = sends(part(LINE * 100), {"type": "http.disconnect"})
        status, lines = await asyncio.wait_for(stream(app, gone), 60)
        assert (status, lines) == (200, [])
        await until(lambda: not service.models.find().batcher.admission.texts)
        assert engine.runs == 0
        await until(lambda: asyncio.all_tasks() == tasks)


async def test_a_client_that_stops_sending_gets_what_it_sent_answered(tiny_artifact: Path) -> None:
    async with held_app(tiny_artifact, stream_idle_seconds=0.2) as (app, _, engine):
        engine.released.set()
        for body in (LINE * 3, LINE * 3 + LINE[:5]):
            status, lines = await asyncio.wait_for(stream(app, sends(part(body))), 60)
            assert status == 200
            assert [line.get("label") for line in lines[:3]] == ["positive"] * 3
            assert lines[3]["error"]["status"] == 408
            assert lines[4]["summary"]["lines"] == 3


async def test_a_stream_that_begins_as_the_service_ends_has_its_summary(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.stream._LINGER_SECONDS", 0.01)

    async with held_app(tiny_artifact) as (app, service, engine):
        engine.released.set()
        answered = set()
        for turns in range(20):  # of the event loop, before it ends
            service.streams = Streams()
            beginning = asyncio.create_task(stream(app, sends(part(LINE))))
            for _ in range(turns):
                await asyncio.sleep(0)
            service.streams.end()
            _, lines = await asyncio.wait_for(beginning, 60)
            assert lines[-2]["error"]["status"] == 503
            assert lines[-1]["summary"]["answered"] == len(lines) - 2
            answered.add(len(lines) - 2)
        assert answered == {0, 1}


async def test_an_unexpected_error_takes_a_line_for_each_text_and_no_more(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with held_app(tiny_artifact) as (app, _, engine):
        engine.released.set()
        run = engine.logits

        def fail_on_long_ones(batch: Any) -> Any:
            if max(map(len, batch)) > 50:
                raise RuntimeError("秘密")
            return run(batch)

        monkeypatch.setattr(engine, "logits", fail_on_long_ones)
        long = LINE.replace(TEXT.encode(), TEXT.encode() * 40)
        body = long * 2 + b"{\n" + long
        _, lines = await stream(app, sends(part(body), part(LINE * 2, more=False)))
        assert [line.get("error", {}).get("status") for line in lines] == [
            *[500, 500, 400, 500],
            *[None, None, None],
        ]
        assert lines[-1]["summary"] == {
            "lines": 6,
            "answered": 2,
            "failed": 4,
            "labels": {"positive": 2, "neutral": 0, "negative": 0},
        }
        assert "秘密" not in json.dumps(lines, ensure_ascii=False)

    assert len([record for record in caplog.records if record.exc_info]) == 1
