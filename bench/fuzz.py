"""Random requests to a service, whose answers are counted by status.

    .venv/bin/python -m bench.fuzz [--requests 100000] [--seed 0] [--clients 4]

Each is a valid request to one of all endpoints, adapters' included, that is then broken: mostly the
structure and the values of its JSON, sometimes bytes of its body, sometimes bytes of its head. Half
of them have headers of any kind and value. It ends with 1, and prints them, if any is answered with
a 5xx, or with an error whose body is none of ours.
"""

import argparse
import copy
import json
import multiprocessing
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPException, HTTPResponse
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.serving.servers import Server, ours

_ADAPTERS = "paddlehub,baidu,tei,oip"
_TEXT = "房间干净，服务也好，就是早餐太差"
_OIP_INPUT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [_TEXT]}
# Path and body, both valid.
POSTS: tuple[tuple[str, Any], ...] = (
    ("/v1/predict", {"text": _TEXT}),
    ("/v1/predict", {"text": _TEXT, "model": "zh-general"}),
    ("/v1/predict/batch", {"items": [{"id": "a", "text": _TEXT}, {"text": "很好"}]}),
    ("/v1/analyze", {"text": f"{_TEXT}。真的吗？“很好。”"}),
    ("/v1/explain", {"text": "很好"}),
    ("/predict/senta_bilstm", {"texts": [_TEXT]}),
    ("/rpc/2.0/nlp/v1/sentiment_classify", {"text": _TEXT}),
    ("/predict", {"inputs": [[_TEXT], ["很好"]], "raw_scores": False}),
    ("/v2/models/zh-general/infer", {"id": "a", "inputs": [_OIP_INPUT]}),
)
GETS = (
    *("/livez", "/readyz", "/health", "/metrics", "/v1/model", "/info", "/v2", "/v2/health/ready"),
    *("/v2/models/zh-general", "/v2/models/zh-general/ready", "/web/docs.js", "/", "/docs"),
    *("/v1/models", "/openapi.json", "/oauth/2.0/token"),
)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        2**63,
        10**400,
        "",
        " ",
        "\n",
        "a",
        "好" * 300,
        "\x00",
        "\ud800",
    ),
    *("\u202e\u2066", "👨‍💻", "\ufdfa" * 50, "e\u0301" * 50, [], {}, [[]], {"": {}}, ["好", 1]),
    *(float("nan"), float("inf"), "<a href='x'>", "@a ", "zh-general@9", "../..", "\ud83d"),
)
# Headers that may say anything without a word about where a request ends, and values that are meant
# for some of them.
_VALUES_OF: dict[str, tuple[str, ...]] = {
    "Accept": (
        *("*/*", "text/xml", "text/plain;version=x", "application/openmetrics-text; version=9"),
        *("application/openmetrics-text;version=1.0.0;escaping=x", "text/html;q=,;", ";", ",,,"),
        *("text/plain;version=1.0.0;escaping=underscores", "text/plain;version=", "a/b;version"),
    ),
    "Accept-Encoding": ("gzip;q=0, *;q=0", "br", "identity;q=0"),
    "Accept-Language": ("zh-CN,zh;q=2", "*", "a" * 4000),
    "Authorization": ("Bearer", "Bearer x", "Basic Og==", "Bearer  a b", "bearer \t"),
    "Cookie": ("a=b", "=;;=", "a=" * 300),
    "If-Modified-Since": ("Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Foo 0", "0"),
    "If-None-Match": ("*", '"a"', 'W/"a"', '"'),
    "If-Range": ('"a"', "Thu, 01 Jan 1970 00:00:00 GMT", "0"),
    "Origin": ("null", "https://evil.example", "https://[::1"),
    "Range": (
        *("bytes=0-0", "bytes=-1", "bytes=9-1", "bytes=99999999999-", "bytes=" + "0-0," * 2000),
        *("bytes=a-b", "bytes=", "bytes", "a=0-1", "bytes=0-1,5-6", "bytes=-", "bytes=0-\xb2"),
    ),
    "X-Forwarded-For": ("::1, \x22", "127.0.0.1", "for"),
    "X-Forwarded-Proto": ("https", "ws", "a b"),
    "X-HTTP-Method-Override": ("DELETE",),
    "traceparent": (f"00-{'a' * 32}-{'b' * 16}-01", f"00-{'0' * 32}-{'0' * 16}-00", "ff-0-0-0"),
    "tracestate": ("a=1,b=2", "=,", "a=" * 300),
}
FREE_HEADERS = (
    *_VALUES_OF,
    *("Accept-Charset", "Cache-Control", "Forwarded", "If-Match", "If-Unmodified-Since", "Prefer"),
    *("Priority", "Referer", "TE", "User-Agent", "Via", "X-Real-IP", "X-Request-ID"),
)
_READ_BY_GET = ("Accept", "If-Modified-Since", "If-None-Match", "If-Range", "Range")
HEADER_VALUES = (
    *(value for values in _VALUES_OF.values() for value in values),
    *("", "=", "utf-16", "no-cache, max-age=-1", "trailers", "u=9, i", 'for="[::1'),
    *("a" * 4000, "%00%ff", "${jndi:ldap://a}", "' OR 1=1 --", "<script>", "\t"),
)
_BREAKING_HEADERS = (
    *("Content-Encoding: gzip", "Expect: 100-continue", "X-Request-ID: \xff", "Accept: \x01"),
    *("Connection: upgrade", "Connection: close", "Upgrade: h2c", "Content-Type: text/plain"),
    *("Transfer-Encoding: chunked", "Content-Length: 3", "Content-Type: application/json; x=y"),
    *("Content-Type: multipart/form-data; boundary=a", "Content-Type: ", "Trailer: a"),
    *("Inference-Header-Content-Length: 5", "Inference-Header-Content-Length: -1"),
    *("Host: a b", "Host: evil.example", "Transfer-Encoding: gzip, chunked", "Accept: \xe9"),
    *("Content-Type: application/json; charset=gbk;", "Content-Type: ;charset='"),
)
# Codings and versions that it does not know (RFC 9110, 15.6.2 and 15.6.6): no failure.
_NOT_SPOKEN = frozenset({501, 505})
_METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POST")
# Broken framing leaves the service waiting for the rest, which is not to come.
_PATIENCE = 0.5
_LONG = 20.0


def mutated(value: Any, chance: random.Random) -> Any:
    """A JSON value with one of its parts replaced, removed, repeated or renamed."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        changed = dict(value)
        match chance.randrange(6):
            case 0:
                del changed[key]
            case 1:
                changed[chance.choice(("text", "items", "", "ïd", "a" * 200))] = changed.pop(key)
            case 2:
                changed["further"] = chance.choice(_VALUES)
            case _:
                changed[key] = mutated(changed[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        changed_list = list(value)
        match chance.randrange(4):
            case 0:
                del changed_list[place]
            case 1:
                changed_list *= chance.choice((2, 3, 200))
            case _:
                changed_list[place] = mutated(changed_list[place], chance)
        return changed_list
    if isinstance(value, str) and value and chance.random() < 0.5:
        place = chance.randrange(len(value))
        inserted = chr(chance.choice((chance.randrange(0x110000), chance.randrange(0x3000))))
        return value[:place] + inserted + value[place:]
    return copy.deepcopy(chance.choice(_VALUES))


def _broken_bytes(data: bytes, chance: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(broken) + 1)
        match chance.randrange(3):
            case 0:
                broken[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del broken[place : place + chance.randint(1, 8)]
            case _:
                broken[place:place] = broken[place : place + chance.randint(1, 20)]
    return bytes(broken)


def _header(chance: random.Random, names: Sequence[str] = FREE_HEADERS) -> str:
    name = chance.choice(names)
    values = _VALUES_OF.get(name, HEADER_VALUES) if chance.random() < 0.7 else HEADER_VALUES
    value = chance.choice(values)
    if chance.random() < 0.3 and len(value) < 100:  # one beside another, or with a sign in it
        place = chance.randrange(len(value) + 1)
        inserted = chance.choice((chr(chance.randrange(32, 256)), chance.choice(HEADER_VALUES)))
        value = value[:place] + inserted + value[place:]
    return f"{name}: {value}"


def random_request(chance: random.Random) -> tuple[bytes, bool]:
    """What is sent, and whether its framing is whole, so that an answer is due."""
    framed = True
    lines = ["Host: localhost"]
    if chance.random() < 0.2:
        method, path, body = chance.choice(("GET", "HEAD")), chance.choice(GETS), b""
        if chance.random() < 0.5:
            lines += [_header(chance, _READ_BY_GET) for _ in range(chance.randint(1, 2))]
    else:
        path, value = chance.choice(POSTS)
        method = "POST"
        for _ in range(chance.randint(1, 3)):
            value = mutated(value, chance)
        body = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")
        if chance.random() < 0.15:
            body = _broken_bytes(body, chance)
        if chance.random() < 0.03:
            path, lines = "/v1/predict/stream", [*lines, "Content-Type: application/x-ndjson"]
        elif chance.random() < 0.98:
            lines.append("Content-Type: application/json")
        lines.append(f"Content-Length: {len(body)}")
    if chance.random() < 0.05:
        method = chance.choice(_METHODS)
    if chance.random() < 0.5:
        for _ in range(chance.randint(1, 4)):
            lines.append(_header(chance))
    if chance.random() < 0.05:
        lines.append(chance.choice(_BREAKING_HEADERS))
        framed = False
    if chance.random() < 0.05:
        path += chance.choice(("/", "?a=%ff", "/..", "%00", "?model=x", ";", "#", "/%2e%2e"))
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")
    if chance.random() < 0.04:
        head, framed = _broken_bytes(head, chance), False
    return head + body, framed


def _is_error_body(body: bytes) -> bool:
    """Whether it is an object, as a problem is and an adapter's form of it."""
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def fuzz(port: int, seed: int, requests: int) -> tuple[Counter[str], list[str]]:
    """Statuses of so many requests, and those that the service did not answer rightly."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    connection: socket.socket | None = None
    for _ in range(requests):
        sent, framed = random_request(chance)
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port))
        connection.settimeout(_LONG if framed else _PATIENCE)
        try:
            connection.sendall(sent)
            response = HTTPResponse(connection, method=sent[:4].decode("latin-1").strip())
            response.begin()
            body = response.read()
        except TimeoutError:
            status, keep = "no answer" if framed else "waits for the rest", False
            if framed:
                wrong.append(f"no answer: {sent!r}")
        except (OSError, HTTPException):  # a connection that the service has just closed
            status, keep = "closed", False
        else:
            status, keep = str(response.status), framed and not response.will_close
            refused = response.status >= 400 and not sent.startswith(b"HEAD")
            failed = response.status >= 500 and response.status not in _NOT_SPOKEN
            if failed or (refused and not _is_error_body(body)):
                wrong.append(f"{status} {body[:200]!r}: {sent[:2000]!r}")
        counts[status] += 1
        if not keep:
            connection.close()
            connection = None
    if connection:
        connection.close()
    return counts, wrong


def main() -> int:
    """Prints the counts, and ends with 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    # A queue that takes what comes: a busy service would say 429, and rightly so.
    settings = {"SENTIMENT_MAX_QUEUE_SECONDS": "60", "SENTIMENT_DEADLINE_SECONDS": "60"}
    service = ours("onnx", SENTIMENT_COMPAT=_ADAPTERS, SENTIMENT_LOG_LEVEL="warning", **settings)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as directory,
        Server(service, Path(directory)) as server,
        ProcessPoolExecutor(options.clients, context) as pool,
    ):
        port = urlsplit(server.url("")).port or 0
        each = 1000
        seeds = range(options.seed, options.seed + -(-options.requests // each))
        for found, errors in pool.map(fuzz, repeat(port), seeds, repeat(each)):
            counts += found
            wrong += errors
        log = (Path(directory) / "server.log").read_text(encoding="utf-8").splitlines()
    errors = [line for line in log if '"level": "error"' in line]
    for line in [*wrong[:20], *errors[:5]]:
        print(line[:3000])
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(counts.items()))
    print(
        f"{counts.total():,} requests in {time.monotonic() - started:.0f} s: {statuses}; "
        f"{len(wrong)} answered wrongly, {len(errors)} errors in the log"
    )
    return int(bool(wrong or errors))


if __name__ == "__main__":
    sys.exit(main())
