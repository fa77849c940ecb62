"""Mixed traffic: what clients send, good, bad and cut off, and a client that sends it."""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

# Out of a thousand requests.
SHARES = {
    "predict": 780,
    "batch": 30,
    "analyze": 40,
    "explain": 10,
    "stream": 20,
    "look": 40,
    "bad": 40,
    "leaves while sending": 20,
    "leaves while waiting": 20,
}
# What is looked at: the page, the probes, the metrics, the documents.
LOOKS = (
    *("/", "/web/page/main.js", "/livez", "/readyz", "/health", "/metrics", "/v1/model", "/docs"),
    "/openapi.json",
)
BROKEN = "no answer"
LEFT = "left"

_NDJSON = "application/x-ndjson"
_JSON = "application/json"
_LONGEST_WAIT = 30.0


@dataclass(frozen=True)
class Request:
    """One request as bytes, and what may be answered.

    ``leaves`` is how many seconds after sending ``raw`` the client goes away without an answer.
    """

    kind: str
    raw: bytes
    expected: frozenset[int]
    holds: bytes = b""
    closes: bool = False
    leaves: float | None = None


class Traffic:
    """An endless mix of requests; hardly two are the same."""

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._texts = texts
        self._chosen = random.Random(seed)

    def __iter__(self) -> Iterator[Request]:
        makers = {
            "predict": self._predict,
            "batch": self._batch,
            "analyze": self._analyze,
            "explain": self._explain,
            "stream": self._stream,
            "look": self._look,
            "bad": self._bad,
            "leaves while sending": self._leaves_while_sending,
            "leaves while waiting": self._leaves_while_waiting,
        }
        while True:
            (kind,) = self._chosen.choices(list(SHARES), list(SHARES.values()))
            yield makers[kind]()

    def _text(self) -> str:
        """A real text, or the halves of two, which nobody has sent before."""
        first, second = self._chosen.choice(self._texts), self._chosen.choice(self._texts)
        if self._chosen.random() < 0.5:
            return first
        return first[: len(first) // 2 + 1] + second[len(second) // 2 :]

    def _long_text(self) -> str:
        return "。".join(self._text() for _ in range(self._chosen.randint(2, 12)))

    def _predict(self) -> Request:
        return _post("predict", "/v1/predict", {"text": self._text()}, b'"label"')

    def _batch(self) -> Request:
        items = [{"text": self._text()} for _ in range(self._chosen.randint(2, 16))]
        return _post("batch", "/v1/predict/batch", {"items": items}, b'"results"')

    def _analyze(self) -> Request:
        return _post("analyze", "/v1/analyze", {"text": self._long_text()}, b'"sentences"')

    def _explain(self) -> Request:
        return _post("explain", "/v1/explain", {"text": self._text()[:40]}, b'"contribution"')

    def _stream(self) -> Request:
        lines = [json.dumps({"text": self._text()}) for _ in range(self._chosen.randint(5, 40))]
        lines.append("{")
        body = "\n".join(lines).encode()
        raw = _head("POST", "/v1/predict/stream", len(body), _NDJSON, close=True) + body
        return Request("stream", raw, frozenset({200, 429}), b'"summary"', closes=True)

    def _look(self) -> Request:
        path = self._chosen.choice(LOOKS)
        # A full queue is not ready.
        expected = {200, 503} if path in ("/readyz", "/health") else {200}
        return Request("look", _head("GET", path), frozenset(expected))

    def _bad(self) -> Request:
        number = self._chosen.randrange(10**9)
        body, kind, path, status = self._chosen.choice(
            [
                (b'{"text": "', _JSON, "/v1/predict", 400),
                (b'{"text": "\xff"}', _JSON, "/v1/predict", 400),
                (b'{"text": " "}', _JSON, "/v1/predict", 422),
                (b'{"text": 5}', _JSON, "/v1/predict", 422),
                (b'{"text": "\\ud800"}', _JSON, "/v1/predict", 422),
                (b'{"items": []}', _JSON, "/v1/predict/batch", 422),
                (json.dumps({"text": "好" * 10_001}).encode(), _JSON, "/v1/predict", 413),
                (b"text", "text/plain", "/v1/analyze", 415),
                (b"{}", _JSON, f"/nothing/{number}", 404),
                (b"{}", _JSON, "/livez", 405),
            ]
        )
        raw = _head("POST", path, len(body), kind) + body
        return Request("bad", raw, frozenset({status, 429}), b'"request_id"')

    def _leaves_while_sending(self) -> Request:
        whole = self._chosen.choice([self._predict, self._batch, self._stream])().raw
        cut = whole[: self._chosen.randrange(1, len(whole))]
        wait = self._chosen.uniform(0, 0.5)
        return Request("leaves while sending", cut, frozenset(), closes=True, leaves=wait)

    def _leaves_while_waiting(self) -> Request:
        whole = self._chosen.choice([self._analyze, self._batch, self._explain, self._stream])().raw
        wait = self._chosen.uniform(0, 0.02)
        return Request("leaves while waiting", whole, frozenset(), closes=True, leaves=wait)


def _post(kind: str, path: str, body: object, holds: bytes) -> Request:
    encoded = json.dumps(body, ensure_ascii=False).encode()
    raw = _head("POST", path, len(encoded), _JSON) + encoded
    return Request(kind, raw, frozenset({200, 429}), holds)


def _head(
    method: str, path: str, length: int = 0, kind: str = _JSON, *, close: bool = False
) -> bytes:
    fields = f"Content-Type: {kind}\r\nContent-Length: {length}\r\n" if method == "POST" else ""
    end = "Connection: close\r\n" if close else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}{end}\r\n".encode()


@dataclass(frozen=True)
class Connection:
    """An open connection and whether it has carried a request before."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False


class Client:
    """Sends requests over connections that are kept, as many as it takes at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def send(self, request: Request) -> str:
        """The status, ``LEFT`` where the client went away, or what was wrong with the answer."""
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                return await self._send(request)
        except (OSError, EOFError, TimeoutError) as error:
            return f"{BROKEN} ({type(error).__name__})"

    async def _send(self, request: Request) -> str:
        while True:
            connection = await self._connect(fresh=request.closes)
            kept = False
            try:
                connection.writer.write(request.raw)
                if request.leaves is not None:
                    await asyncio.sleep(request.leaves)
                    return LEFT
                status, body, kept = await _read_answer(connection.reader)
                if status not in request.expected:
                    return f"{status}, unexpected"
                if status == 200 and request.holds not in body:
                    return f"{status}, incomplete"
                return str(status)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                # An idle connection may be closed just when a request is sent on it.
                begun = isinstance(error, asyncio.IncompleteReadError) and error.partial
                if begun or not connection.used:
                    raise
            finally:
                if kept and not request.closes:
                    self._idle.append(Connection(connection.reader, connection.writer, used=True))
                elif request.leaves is not None:
                    connection.writer.transport.abort()
                else:
                    connection.writer.close()

    async def _connect(self, *, fresh: bool) -> Connection:
        while self._idle and not fresh:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return Connection(*await asyncio.open_connection("127.0.0.1", self._port))

    async def close(self) -> None:
        """Closes what is kept."""
        for connection in self._idle:
            connection.writer.close()
            with suppress(OSError):
                await connection.writer.wait_closed()
        self._idle.clear()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """The status, the body, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    kept = b"\r\nconnection: close" not in head
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    else:  # chunked
        body = await reader.readuntil(b"\r\n0\r\n\r\n") if kept else await reader.read()
    return int(head.split(b" ", 2)[1]), body, kept
