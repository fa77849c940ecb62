"""Clients that wear a service out: by many connections, by endless input, by slowness.

Each runs until it is told to stop, and counts the statuses that it got.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from bench.attacks.shapes import CLOSED, SHAPES, post, request
from bench.attacks.wire import Target, answers, connected

Counts = Counter[str]
_JSON = "Content-Type: application/json"
_NDJSON = "Content-Type: application/x-ndjson"
_CHUNKED = "Transfer-Encoding: chunked"
_STREAM = "POST /v1/predict/stream"
_PART = 16 * 1024
_POST = post('{"text": "房间很好"}'.encode())


@dataclass(frozen=True)
class Attack:
    """``act`` is what one of so many ``clients`` does again and again, until a time is reached."""

    name: str
    act: Callable[[Target, float, Counts], Awaitable[None]]
    statuses: frozenset[str]
    clients: int = 1


async def run(attack: Attack, target: Target, seconds: float) -> Counts:
    """The statuses that answered an attack, every client of which acts once at least."""
    counts: Counts = Counter()
    ends = time.monotonic() + seconds

    async def client() -> None:
        while True:
            with suppress(OSError):  # a connection that is not let in, or breaks
                await attack.act(target, ends, counts)
            if time.monotonic() >= ends:
                return
            await asyncio.sleep(0)

    await asyncio.gather(*(client() for _ in range(attack.clients)))
    return counts


def _group(name: str) -> Attack:
    """Every shape of a group in turn."""
    shapes = [shape for shape in SHAPES if shape.group == name]

    async def act(target: Target, ends: float, counts: Counts) -> None:
        for shape in shapes:
            counts.update(await answers(target, shape.sent, quiet=0.02))
            if time.monotonic() >= ends:
                return

    allowed = frozenset().union(*(shape.statuses for shape in shapes))
    return Attack(name, act, allowed, clients=200 if shapes[0].waits else 4)


async def _drip(target: Target, ends: float, counts: Counts, start: bytes, drop: bytes) -> None:
    """A byte or so now and then; ``held`` counts those that are not done with at the end."""
    async with connected(target) as connection:
        await connection.send(start)
        answering = asyncio.create_task(connection.statuses(patience=60, quiet=60))
        while time.monotonic() < ends and not answering.done():
            await connection.send(drop)
            await asyncio.wait([answering], timeout=0.5)
        counts.update(answering.result() if answering.done() else ["held"])
        answering.cancel()


def _drips(name: str, start: bytes, drop: bytes, statuses: str) -> Attack:
    async def act(target: Target, ends: float, counts: Counts) -> None:
        await _drip(target, ends, counts, start, drop)

    return Attack(name, act, frozenset([*statuses.split(), "held"]), clients=500)


async def _endless(target: Target, ends: float, counts: Counts, start: bytes, part: bytes) -> None:
    """As much as the service takes."""
    async with connected(target) as connection:
        await connection.send(start)
        answering = asyncio.create_task(connection.statuses(patience=60, quiet=2.0))
        while time.monotonic() < ends and await connection.send(part):
            await asyncio.sleep(0)
        if not answering.done():  # what was answered is perhaps not read yet
            connection.writer.close()
            await asyncio.wait([answering], timeout=2.5)
        if answering.done():
            counts.update(answering.result())
        answering.cancel()


def _endlessly(name: str, start: bytes, part: bytes, statuses: str) -> Attack:
    async def act(target: Target, ends: float, counts: Counts) -> None:
        await _endless(target, ends, counts, start, part)

    return Attack(name, act, frozenset(statuses.split()), clients=2)


async def _pipelined(target: Target, ends: float, counts: Counts) -> None:
    async with connected(target) as connection:
        await connection.send(request(line="GET /livez") * 10_000)
        counts.update(await connection.statuses())


async def _pipelined_deep(target: Target, ends: float, counts: Counts) -> None:
    """As many as may wait, each of which is work."""
    async with connected(target) as connection:
        await connection.send(_POST * 60)
        counts.update(await connection.statuses(quiet=1.0))


async def _idle(target: Target, ends: float, counts: Counts) -> None:
    async with connected(target) as connection:
        while time.monotonic() < ends:
            if await connection.statuses(patience=1.0) == [CLOSED]:
                counts[CLOSED] += 1
                return


async def _reset(target: Target, ends: float, counts: Counts) -> None:
    async with connected(target) as connection:
        connection.reset()
        counts["reset"] += 1


def _leaves(sent: bytes) -> Callable[[Target, float, Counts], Awaitable[None]]:
    """Sends it and leaves, ten times a second: more would be an overload by valid requests."""

    async def act(target: Target, ends: float, counts: Counts) -> None:
        async with connected(target) as connection:
            await connection.send(sent)
            connection.reset()
            counts["reset"] += 1
        await asyncio.sleep(0.1)

    return act


async def _never_reads(target: Target, ends: float, counts: Counts, sent: Iterable[bytes]) -> None:
    async with connected(target) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for part in sent:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                    if await connection.send(part):
                        continue
            break
        await asyncio.sleep(max(0.0, ends - time.monotonic()))
        connection.reset()
        counts["unread"] += 1


async def _stream_unread(target: Target, ends: float, counts: Counts) -> None:
    lines = '{"text": "房间很好"}\n'.encode() * 100
    head = request(_NDJSON, "Content-Length: 1000000000", line=_STREAM)
    await _never_reads(target, ends, counts, [head, *[lines] * 1000])


async def _pages_unread(target: Target, ends: float, counts: Counts) -> None:
    await _never_reads(target, ends, counts, [request(line="GET /openapi.json") * 60])


def _greedily(name: str, sent: bytes, statuses: str) -> Attack:
    """Valid work, more of it than is answered in time, from two connections."""

    async def act(target: Target, ends: float, counts: Counts) -> None:
        async with connected(target) as connection:
            await connection.send(sent)
            counts.update(await connection.statuses(patience=20, quiet=0.02))

    return Attack(name, act, frozenset(statuses.split()), clients=2)


def _batch(count: int, text: str) -> bytes:
    body = json.dumps({"items": [{"text": text}] * count}, ensure_ascii=False).encode()
    return post(body, path="/v1/predict/batch")


# All words that no vocabulary has, so each character is read by itself.
_RARE = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0x9FA5), k=10_000)))
# What takes the longest to turn into words.
_LARGEST_BATCH = _batch(199, "!a" * 5000)

_OPEN_CHUNK = request(_JSON, _CHUNKED)
_CHUNK = b"%x\r\n%s\r\n" % (_PART, b" " * _PART)
_GET = request(line="GET /livez")

ATTACKS = (
    *(
        _group(name)
        for name in dict.fromkeys(shape.group for shape in SHAPES)
        if name != "hostile texts"
    ),
    # Much of it is read and answered: more clients would be an overload by valid requests.
    replace(_group("hostile texts"), clients=1),
    _drips("slow heads", b"GET /livez HTTP/1.1\r\nX: ", b"a", "408"),
    _drips("slow heads after a request", _GET + b"GET /livez HTTP/1.1\r\nX: ", b"a", "200 408"),
    _drips(
        "slow bodies", request(_JSON, "Content-Length: 100000", body=b"{"), b" ", "408 429 closed"
    ),
    _drips("slow chunks", _OPEN_CHUNK, b"1\r\n \r\n", "408 429 closed"),
    _drips("slow trailers", _OPEN_CHUNK + b"0\r\nX: ", b"a", "408"),
    _drips(
        "slow rests",
        request(_JSON, "Content-Length: 100000", line="POST /nothing"),
        b" ",
        "404",
    ),
    _drips(
        "slow streams", request(_NDJSON, _CHUNKED, line=_STREAM), b"1\r\n \r\n", "200 429 closed"
    ),
    _endlessly("endless heads", b"GET /livez HTTP/1.1\r\nX: ", b"a" * _PART, "431 closed"),
    _endlessly(
        "endless heads after a request",
        _GET + b"GET /livez HTTP/1.1\r\nX: ",
        b"a" * _PART,
        "200 431 closed",
    ),
    _endlessly(
        "endless lines of a head", b"GET /livez HTTP/1.1\r\n", b"X: a\r\n" * 2000, "431 closed"
    ),
    _endlessly("endless blank lines", b"", b"\r\n" * 8000, "400 408 431 closed"),
    _endlessly("endless bodies", _OPEN_CHUNK, _CHUNK, "413 closed"),
    _endlessly("endless bodies of one byte", _OPEN_CHUNK, b"1\r\n \r\n" * 2000, "413 408 closed"),
    _endlessly("endless chunk extensions", _OPEN_CHUNK + b"1;", b"a" * _PART, "431 closed"),
    _endlessly("endless trailers", _OPEN_CHUNK + b"0\r\nX: ", b"a" * _PART, "431 closed"),
    _endlessly(
        "endless trailers of a stream",
        request(_NDJSON, _CHUNKED, line=_STREAM) + b"0\r\nX: ",
        b"a" * _PART,
        "200 431 closed",
    ),
    _endlessly(
        "endless bodies of a GET", request(_CHUNKED, line="GET /livez"), _CHUNK, "200 closed"
    ),
    _endlessly(
        "endless lines of a stream",
        request(_NDJSON, _CHUNKED, line=_STREAM),
        _CHUNK,
        "200 429 closed",
    ),
    _greedily(
        "explanations one after the other",
        post(json.dumps({"text": _RARE[:120]}).encode(), path="/v1/explain"),
        "200 429",
    ),
    _greedily(
        "analyses of 250 sentences",
        post(json.dumps({"text": "好，坏。" * 250}).encode(), path="/v1/analyze"),
        "200 429",
    ),
    _greedily("batches of long texts", _batch(16, _RARE), "200 429"),
    _greedily("batches of two megabytes", _LARGEST_BATCH, "200 429"),
    Attack("batches whose client leaves", _leaves(_LARGEST_BATCH), frozenset({"reset"}), 4),
    Attack("pipelines of 10,000", _pipelined, frozenset({"200", "400", CLOSED}), 4),
    Attack("pipelines of 60", _pipelined_deep, frozenset({"200", "429"}), 1),
    Attack("5,000 idle connections", _idle, frozenset({CLOSED}), 5000),
    Attack("connections reset at once", _reset, frozenset({"reset"}), 50),
    Attack("reset after a request", _leaves(_POST), frozenset({"reset"}), 20),
    Attack(
        "reset within a body",
        _leaves(request(_JSON, "Content-Length: 1000", body=b"{")),
        frozenset({"reset"}),
        20,
    ),
    Attack("unread streams", _stream_unread, frozenset({"unread"}), 4),
    Attack("unread pages", _pages_unread, frozenset({"unread"}), 20),
)


def attacked(name: str, target: Target, seconds: float) -> Counts:
    """``run`` for a process of its own."""
    attack = next(attack for attack in ATTACKS if attack.name == name)
    return asyncio.run(run(attack, target, seconds))
