"""How many CPUs, replicas and megabytes a rate of requests takes.

    SENTIMENT_DATA=... .venv/bin/python -m bench.sizing [--write]

It starts the service with one inference at a time, sends each kind of request over a few
connections, and divides the CPU time that the service used by their number. Other work on the
machine lengthens the waiting, which does not count, and hardly the CPU time. `--write` puts the
tables into docs/deploy.md.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from bench.document import machine, replace_block
from bench.serving.servers import Server, ours
from bench.serving.texts import BATCH, describe, load_texts

PAGE = Path(__file__).parent.parent / "docs" / "deploy.md"
CONNECTIONS = 8
WARM_UP = 200
STREAM_LINES = 500
RATES = (50, 100, 250, 500, 1000, 2500)
# Above this the queue, and with it the wait, grows with every small rush.
BUSY = 0.6
LEAST_REPLICAS = 2  # one can be replaced while the other answers


@dataclass(frozen=True)
class Kind:
    """A kind of request: its body is made of ``texts`` texts, and it is sent ``requests`` times."""

    name: str
    path: str
    texts: int
    requests: int
    body: Callable[[list[str]], bytes]


def _one(texts: list[str]) -> bytes:
    return json.dumps({"text": texts[0]}).encode()


def _items(texts: list[str]) -> bytes:
    return json.dumps({"items": [{"text": text} for text in texts]}).encode()


def _lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


KINDS = (
    Kind("a text, `/v1/predict`", "/v1/predict", 1, 3_000, _one),
    Kind(f"a text in a batch of {BATCH}", "/v1/predict/batch", BATCH, 100, _items),
    Kind("a text in a stream", "/v1/predict/stream", STREAM_LINES, CONNECTIONS, _lines),
    Kind("a text with its sentences, `/v1/analyze`", "/v1/analyze", 1, 500, _one),
    Kind("an explanation, `/v1/explain`", "/v1/explain", 1, 100, _one),
)


def send(port: int, kind: Kind, texts: list[str], requests: int) -> None:
    """Send requests over a few connections, each of which waits for its replies."""
    media_type = "application/x-ndjson" if kind.body is _lines else "application/json"

    def client(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        for index in range(number, requests, CONNECTIONS):
            start = index * kind.texts % (len(texts) - kind.texts)
            body = kind.body(texts[start : start + kind.texts])
            connection.request("POST", kind.path, body, {"Content-Type": media_type})
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                raise RuntimeError(f"{kind.path} replied {response.status}: {content[:200]!r}")
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as clients:
        list(clients.map(client, range(CONNECTIONS)))


def measure(texts: list[str]) -> tuple[dict[str, float], float]:
    """Return CPU milliseconds per text of each kind, and the megabytes held after them."""
    # One inference at a time, as on one CPU; however busy this machine is, nothing is refused.
    system = ours(
        "onnx",
        SENTIMENT_THREADS="1",
        SENTIMENT_MAX_QUEUE_SECONDS="60",
        SENTIMENT_DEADLINE_SECONDS="60",
    )
    milliseconds = {}
    with tempfile.TemporaryDirectory() as directory, Server(system, Path(directory)) as server:
        send(server.port, KINDS[0], texts, WARM_UP)
        for kind in KINDS:
            server.wait_idle()
            before = server.processor_seconds()
            send(server.port, kind, texts, kind.requests)
            server.wait_idle()
            used = server.processor_seconds() - before
            milliseconds[kind.name] = 1000 * used / (kind.requests * kind.texts)
        return milliseconds, server.memory().rss


def tables(milliseconds: dict[str, float], megabytes: float, texts: list[str]) -> str:
    """Return what each kind costs, and what rates of single texts take."""
    lines = [f"{machine()}. {describe(texts)}.", ""]
    lines += ["| | CPU milliseconds | at most per CPU and second |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {cost:.2f} | {1000 / cost:,.0f} |" for name, cost in milliseconds.items()
    ]
    lines += [
        "",
        "| single texts per second | CPUs | replicas of 1 CPU | memory MB, all together |",
    ]
    lines += ["|---:|---:|---:|---:|"]
    single = next(iter(milliseconds.values()))
    for rate in RATES:
        processors = rate * single / 1000 / BUSY
        replicas = max(LEAST_REPLICAS, math.ceil(processors))
        memory = replicas * megabytes
        lines.append(f"| {rate:,} | {processors:.2f} | {replicas} | {memory:,.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the tables, and write them if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/deploy.md")
    arguments = parser.parse_args()
    texts = load_texts()
    content = tables(*measure(texts), texts)
    print(content)
    if arguments.write:
        replace_block("sizing", content, PAGE)


if __name__ == "__main__":
    main()
