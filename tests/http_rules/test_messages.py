"""RFC 9110 and 9112: what is a request, and which answer it gets."""

import json
import ssl
from dataclasses import dataclass

import httpx2
import pytest

from tests.support.wire import (
    CHUNKED,
    HOST,
    NEXT,
    Wire,
    get,
    header,
    post,
    received,
    statuses,
)

pytestmark = pytest.mark.process


@dataclass(frozen=True)
class Rule:
    """What is sent, then nothing more, and the statuses that may answer it."""

    section: str
    says: str
    sent: bytes
    statuses: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.section}: {self.says}"


HELLO = b"5\r\nhello\r\n0\r\n\r\n"
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
