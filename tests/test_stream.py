"""The stream: order, bad lines, bounds, and clients that read while they write or do not."""

import asyncio
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
from fastapi.testclient import TestClient
from starlette.types import Message, Receive

from bench.serving.servers import kibibytes
from service.app import create_app
from service.inference.streams import Streams
from service.routes.stream import MAX_LINE_BYTES, MEDIA_TYPES
from service.settings import load_settings
from tests.support.asgi import body_then, part, post, sends
from tests.support.clock import until, wait_for
from tests.support.held import ROOM_FOR_TWO, held_app
from tests.support.http import assert_problem, wait_ready
from tests.support.logs import log_lines
from tests.support.process import PATIENT, served
from tests.support.repository import read
from tests.support.texts import BLANK_TEXTS, TEXT

PATH = "/v1/predict/stream"
NDJSON = {"content-type": MEDIA_TYPES[0]}
LINE = json.dumps({"text": TEXT}, ensure_ascii=False).encode() + b"\n"


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
        (5, 422, "", None),
        ({"id": "c"}, 422, "text: Field required", "c"),
        ({"id": "d", "text": 1}, 422, "text: Input should be a valid string", "d"),
        ({"id": "e", "text": TEXT, "more": 1}, 422, "Unknown field", "e"),
        ({"id": 7, "text": TEXT}, 422, "id: ", None),
        *[({"id": "f", "text": blank}, 422, "empty or blank", "f") for blank in BLANK_TEXTS],
        ({"id": "g", "text": "好" * 10_001}, 413, "10001 characters", "g"),
        (b'{"text": "\\ud800"}', 422, "surrogate", None),
        (b'{"text": "' + b"x" * MAX_LINE_BYTES + b'"}', 413, "longer than 65536 bytes", None),
    ]
    good = {"text": TEXT}
    lines = [line for line, *_ in bad for line in (line, good)]
    answers, summary = ask(client, *lines)
    for failure, answer, (line, status, detail, identifier) in zip(
        answers[::2], answers[1::2], bad, strict=True
    ):
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
    assert set(operation["requestBody"]["content"]) == set(MEDIA_TYPES)
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
        gone = sends(part(LINE * 100), {"type": "http.disconnect"})
        status, lines = await asyncio.wait_for(stream(app, gone), 60)
        assert (status, lines) == (200, [])
        await until(lambda: not service.models.find().batcher.admission.texts)
        assert engine.runs == 0
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


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
    """Behind one stream that was broken off: nothing waits, nothing went wrong, and it ends."""
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
        # It was not forgotten: it goes on as soon as it reads.
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
