"""HTTP/1.1 as RFC 9112 and RFC 9110 have it, byte for byte, on either port of a running service."""

import asyncio
import json
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from bench.attacks.wire import Connection, connected
from service.app import ADAPTERS
from tests.support.adapters import BAIDU
from tests.support.asgi import listening
from tests.support.clock import until
from tests.support.held import held_app
from tests.support.http import wait_ready
from tests.support.logs import log_lines
from tests.support.process import free_port, served

pytestmark = pytest.mark.process

TEXT = '{"text": "房间很好"}'.encode()
ITEMS = '{"items": [{"text": "房间很好"}, {"text": "房间很差"}]}'.encode()
# So long that what has to wait for it never comes in time for a test.
PATIENT = {"SENTIMENT_DEADLINE_SECONDS": "600", "SENTIMENT_KEEP_ALIVE_SECONDS": "600"}


@dataclass(frozen=True)
class Wire:
    """A running service, byte by byte."""

    ports: dict[str, int]
    log: Path

    def connect(self, port: str = "main") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[port]), timeout=30)

    def ask(self, sent: bytes, port: str = "main", *, half_closed: bool = True) -> bytes:
        """All that comes back until the service closes the connection."""
        with self.connect(port) as connection:
            connection.sendall(sent)
            if half_closed:
                connection.shutdown(socket.SHUT_WR)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(2**16):
        data += part
    return data


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


def header(answer: bytes, name: str) -> str:
    """A header of the first answer, or nothing."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    found = re.search(rf"^{name}: ([^\r]*)\r?$", head, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""


@pytest.fixture(scope="module")
def wire(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    log = tmp_path_factory.mktemp("rules") / "log"
    probes = free_port()
    settings = {
        **PATIENT,
        "SENTIMENT_PROBE_PORT": str(probes),
        "SENTIMENT_COMPAT": ",".join(ADAPTERS),
    }
    with served(tiny_artifact, log, **settings) as (process, address):
        wait_ready(address)
        yield Wire({"main": int(str(urlsplit(address).port)), "probes": probes}, log)
        assert process.poll() is None
    # Every line is JSON, and nothing that a client sent was an error of the service.
    assert [line for line in log_lines(log) if line["level"] == "error"] == []


@dataclass(frozen=True)
class Rule:
    """What is sent, then nothing more, and the statuses that may answer it."""

    section: str
    says: str
    sent: bytes
    statuses: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.section}: {self.says}"


HOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
NEXT = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"


def get(headers: bytes = HOST, line: bytes = b"GET /livez HTTP/1.1") -> bytes:
    return line + b"\r\n" + headers + b"\r\n"


def post(headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST /livez HTTP/" + version + b"\r\n" + HOST + headers + b"\r\n" + body


RULES = [
    # The request line
    Rule("RFC 9112, 3", "a request is answered", get(), (200,)),
    Rule(
        "RFC 9112, 3",
        "a body is taken by its length",
        post(b"Content-Length: 5\r\n", b"hello"),
        (405,),
    ),
    Rule("RFC 9112, 3", "a request line has a version", get(line=b"GET /livez"), (400,)),
    Rule("RFC 9112, 3", "a request line has three parts", get(line=b"GET /a b HTTP/1.1"), (400,)),
    Rule(
        "RFC 9110, 2.5",
        "another major version is not spoken",
        get(line=b"GET /livez HTTP/2.0"),
        (505,),
    ),
    Rule(
        "RFC 9112, 2.3",
        "a version that is none is refused",
        get(line=b"GET /livez HTTP/9.9"),
        (400,),
    ),
    Rule(
        "RFC 9110, 9.1",
        "a method that nobody knows is refused",
        get(line=b"GRAB /livez HTTP/1.1"),
        (400, 501),
    ),
    Rule(
        "RFC 9110, 9.1", "methods are case-sensitive", get(line=b"get /livez HTTP/1.1"), (400, 501)
    ),
    Rule(
        "RFC 9112, 3.2.2",
        "a target may name the host",
        get(line=b"GET http://localhost/livez HTTP/1.1"),
        (200,),
    ),
    Rule(
        "RFC 9112, 3.2.2",
        "such a target needs no path",
        get(line=b"OPTIONS http://localhost?a HTTP/1.1"),
        (204,),
    ),
    Rule(
        "RFC 9112, 3.2.2",
        "and its host counts, not Host",
        get(line=b"GET http://other.example/livez HTTP/1.1"),
        (421,),
    ),
    Rule(
        "RFC 9112, 3.2.3",
        "a target of CONNECT is read",
        get(line=b"CONNECT example.com:443 HTTP/1.1"),
        (501,),
    ),
    Rule(
        "RFC 9112, 3.2.4",
        "OPTIONS asks about the whole service",
        get(line=b"OPTIONS * HTTP/1.1"),
        (204,),
    ),
    Rule(
        "RFC 9112, 2.2", "blank lines before a request are passed over", b"\r\n\r\n" + get(), (200,)
    ),
    # Headers
    Rule("RFC 9112, 3.2", "a request has a Host", get(b""), (400,)),
    Rule(
        "RFC 9112, 3.2",
        "whatever its target is",
        get(b"", b"GET http://localhost/livez HTTP/1.1"),
        (400,),
    ),
    Rule("RFC 9112, 3.2", "and one alone", get(HOST + b"Host: example.com\r\n"), (400,)),
    Rule("RFC 9112, 3.2", "even if both are the same", get(HOST + HOST), (400,)),
    Rule("RFC 9112, 3.2", "and a valid one", get(b"Host: bad host\r\n"), (400,)),
    Rule("RFC 9112, 3.2", "without a path", get(b"Host: localhost/livez?\r\n"), (400,)),
    Rule("RFC 9112, 3.2", "without a user", get(b"Host: user@localhost\r\n"), (400,)),
    Rule("RFC 9112, 3.2", "but HTTP/1.0 may have none", get(b"", b"GET /livez HTTP/1.0"), (200,)),
    Rule(
        "RFC 9110, 7.4",
        "a host that is not this one is refused",
        get(b"Host: example.com\r\n"),
        (421,),
    ),
    Rule("RFC 9112, 5", "a name of a header is one word", get(HOST + b"Bad Header: a\r\n"), (400,)),
    Rule("RFC 9112, 5.1", "and has no space after it", get(b"Host : localhost\r\n"), (400,)),
    Rule("RFC 9112, 5.2", "a header is one line", get(HOST + b"  continued\r\n"), (400,)),
    Rule("RFC 9110, 5.5", "a value holds no null", get(b"Host: local\x00host\r\n"), (400,)),
    Rule(
        "RFC 9110, 5.3",
        "a header of one value comes once",
        get(HOST + b"Authorization: a\r\n" * 2),
        (400,),
    ),
    Rule("RFC 9110, 5.3", "another too", get(HOST + b"Content-Type: a/b\r\n" * 2), (400,)),
    # Bodies
    Rule("RFC 9112, 7.1", "a body may come in chunks", post(CHUNKED, HELLO), (405,)),
    Rule(
        "RFC 9112, 7.1",
        "a size of a chunk is a number",
        post(CHUNKED, b"Z\r\nhello\r\n0\r\n\r\n" + NEXT),
        (400,),
    ),
    Rule(
        "RFC 9112, 7.1", "a chunk has an end", post(CHUNKED, b"5\r\nhello0\r\n\r\n" + NEXT), (400,)
    ),
    Rule("RFC 9112, 6.1", "but not in HTTP/1.0", post(CHUNKED, HELLO, b"1.0"), (400,)),
    Rule(
        "RFC 9112, 6.3",
        "chunks have no length beside them",
        post(CHUNKED + b"Content-Length: 5\r\n", HELLO + NEXT),
        (400,),
    ),
    Rule(
        "RFC 9112, 6.1",
        "an unknown coding is refused",
        post(b"Transfer-Encoding: nonsense\r\n", b"hello"),
        (400, 501),
    ),
    Rule(
        "RFC 9112, 6.1",
        "one before the chunks as well",
        post(b"Transfer-Encoding: gzip, chunked\r\n", HELLO + NEXT),
        (501,),
    ),
    Rule(
        "RFC 9112, 6.3",
        "chunks come last",
        post(b"Transfer-Encoding: chunked, gzip\r\n", HELLO + NEXT),
        (400,),
    ),
    Rule(
        "RFC 9112, 6.3",
        "and once",
        post(b"Transfer-Encoding: chunked, chunked\r\n", HELLO + NEXT),
        (400, 501),
    ),
    Rule(
        "RFC 9112, 6.3",
        "a length is a number",
        post(b"Content-Length: xyz\r\n", b"hello" + NEXT),
        (400,),
    ),
    Rule(
        "RFC 9112, 6.3",
        "lengths agree",
        post(b"Content-Length: 5\r\nContent-Length: 7\r\n", b"hello!!" + NEXT),
        (400,),
    ),
    Rule(
        "RFC 9112, 8",
        "a body that ends too early is refused",
        post(b"Content-Length: 500\r\n", b"hello"),
        (400, 405),
    ),
    Rule("RFC 9112, 8", "a head as well", b"GET /livez HTTP/1.1\r\nHost: local", (400,)),
    # Limits, which are the service's own
    Rule(
        "RFC 9112, 3",
        "a request line may be long",
        get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"),
        (404,),
    ),
    Rule("RFC 9110, 5.4", "there may be many headers", get(HOST + b"X-A: value\r\n" * 101), (200,)),
    Rule(
        "RFC 9110, 5.4",
        "a value may be long",
        get(HOST + b"X-Big: " + b"x" * 9000 + b"\r\n"),
        (200,),
    ),
]


@pytest.mark.parametrize("port", ["main", "probes"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_is_kept_by_one_answer_to_a_client_that_sends_no_more(
    wire: Wire, rule: Rule, port: str
) -> None:
    answer = wire.ask(rule.sent, port)
    assert len(statuses(answer)) == 1
    assert statuses(answer)[0] in rule.statuses
    # RFC 9112, 6.3: where an answer ends is said.
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(header(answer, "content-length") or "0") == len(body)
    if statuses(answer)[0] >= 400:
        assert header(answer, "content-type") == "application/problem+json"
        assert json.loads(body)["status"] == statuses(answer)[0]
    assert b"x-content-type-options: nosniff" in head
    assert statuses(wire.ask(get(), port)) == [200]


# What comes before the end of a request


@pytest.mark.parametrize("port", ["main", "probes"])
@pytest.mark.parametrize(
    "sent", [b"hello", b"\x00", b"SSH-2.0-OpenSSH_9.2\r\n", b"GET /a b", b"GET /livez HTTP/x"]
)
def test_what_cannot_become_a_request_is_refused_before_it_ends(
    wire: Wire, sent: bytes, port: str
) -> None:
    assert statuses(wire.ask(sent, port, half_closed=False)) == [400]


@pytest.mark.parametrize("port", ["main", "probes"])
def test_a_tls_hello_is_refused_at_once(wire: Wire, port: str) -> None:
    hello = ssl.MemoryBIO()
    handshake = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="a")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    assert statuses(wire.ask(hello.read(), port, half_closed=False)) == [400]


def test_a_head_byte_by_byte_is_refused_where_it_goes_wrong_and_answered_where_it_does_not(
    wire: Wire,
) -> None:
    with wire.connect() as connection:
        for byte in b"GR":
            connection.sendall(bytes([byte]))
        connection.sendall(b"AB")
        assert statuses(received(connection)) == [400]
    with wire.connect() as connection:
        for byte in b"\r\n" + get(HOST + b"Connection: close\r\n"):
            connection.sendall(bytes([byte]))
        assert statuses(received(connection)) == [200]


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


# RFC 9110, 9.3.7 and 15.5.6: OPTIONS, and methods that a path does not take


@pytest.mark.parametrize("port", ["main", "probes"])
@pytest.mark.parametrize("target", ["*", "/", "/livez", "/readyz", "/metrics"])
def test_a_probe_by_options_is_answered(wire: Wire, target: str, port: str) -> None:
    for line, headers in (
        (f"OPTIONS {target} HTTP/1.0", b""),
        (f"OPTIONS {target} HTTP/1.1", HOST),
    ):
        answer = wire.ask(get(headers, line.encode()), port)
        assert statuses(answer) == [204]
        assert {"GET", "HEAD", "OPTIONS"} <= set(header(answer, "allow").split(", "))


def test_whatever_method_a_path_does_not_take_is_told_which_it_does(wire: Wire) -> None:
    client = httpx2.Client(base_url=f"http://127.0.0.1:{wire.ports['main']}")
    document = client.get("/openapi.json").json()["paths"]
    taken = {path: {method.upper() for method in methods} for path, methods in document.items()}
    taken |= {path: {"GET"} for path in ("/docs", "/web/page/main.js", "/openapi.json")}
    taken["/"].add("GET")  # beside what TEI has there
    for path, methods in taken.items():
        allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}:
            if method in allowed - {"OPTIONS"}:
                continue
            answer = client.request(method, path)
            expected = 204 if method == "OPTIONS" else 405
            if path.startswith(("/rpc/", "/oauth/")):
                expected = 204 if method == "OPTIONS" else 200  # with the error that Baidu has
            assert answer.status_code == expected, (method, path)
            assert set(answer.headers["allow"].split(", ")) == allowed, (method, path)
    client.close()
    for method in ("POST", "PUT", "DELETE"):
        answer = httpx2.request(method, f"http://127.0.0.1:{wire.ports['probes']}/livez")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


# RFC 9110, 12.5.1: no Accept is an error


@pytest.mark.parametrize("port", ["main", "probes"])
@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "a;b=c;=,,;",
        "text/plain",
        "text/plain;version=x",
        "text/plain;version=1.0.0",
        "text/plain;version=\xff",
        "text/plain;version=" + "9" * 5000,
        "text/plain; version=",
        "application/openmetrics-text; version=x",
        "application/openmetrics-text;version=1.x.0",
        "application/openmetrics-text; version=1.0.0; escaping=x",
    ],
)
def test_metrics_are_there_whatever_is_accepted(wire: Wire, accept: str, port: str) -> None:
    headers = HOST + f"Accept: {accept}\r\n".encode("latin-1")
    answer = wire.ask(get(headers, b"GET /metrics HTTP/1.1"), port)
    assert statuses(answer) == [200]
    assert b"sentiment_ready 1.0" in answer


@pytest.mark.parametrize("port", ["main", "probes"])
def test_clients_that_reset_their_connections_are_no_error(wire: Wire, port: str) -> None:
    for _ in range(50):
        with wire.connect(port) as connection:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(get(line=b"GET /metrics HTTP/1.1") * 3)
    assert statuses(wire.ask(get(), port)) == [200]  # and see the fixture, which reads the log
