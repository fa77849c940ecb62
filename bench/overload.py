"""Three times what the service can carry: how long answers and probes take, what a no costs.

    .venv/bin/python -m bench.overload [--write] [SETTING=VALUE ...]

prints a table, and with --write puts it into docs/performance.md. Settings
(SENTIMENT_MAX_QUEUE_TEXTS=64, say) are those of the service. It finds the load that 64 clients who
wait for their answer can sustain, then sends nine tenths of it, then three times it over a thousand
connections, each of which asks at its share of the rate. Probes come on new connections meanwhile,
as an orchestrator sends them. An empty FastAPI application gets the same in this run. What a
refusal costs is measured at a service that admits one text at a time. All share this machine's
processors.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from typing import cast

import uvloop

from bench.document import machine, replace_block

SECONDS = 10
CLIENTS, CONNECTIONS = 64, 1024
SERVICE, PROBES, EMPTY = 18_100, 18_101, 18_102
EMPTY_APP = f"""
import fastapi, uvicorn
app = fastapi.FastAPI()
@app.get("/livez")
async def livez(): return {{"status": "alive"}}
@app.post("/v1/predict")
async def predict(request: fastapi.Request):
    await request.body()
    return {{}}
uvicorn.run(app, port={EMPTY}, log_level="warning", access_log=False)
"""
# As many characters as the middle one of the texts of bench/serving has.
BODY = '{"text": "房间干净，服务也好，就是早餐太差，下次来还是会选别的地方吃。"}'.encode()
REQUEST = (
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
LENGTH = re.compile(rb"content-length: (\d+)\r\n.*?\r\n\r\n", re.DOTALL)


@dataclass
class Measured:
    """Latencies in seconds by status, and the processor time of the server."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    cpu: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        """One answer; status 0 is none at all."""
        self.latencies.setdefault(status, []).append(seconds)

    def count(self, *statuses: int) -> int:
        """How many answers had one of these statuses."""
        return sum(len(self.latencies.get(status, [])) for status in statuses)

    def percentile(self, percent: int, status: int = 200) -> float:
        """A percentile of the latencies with a status, in milliseconds."""
        return quantiles(self.latencies[status], n=100)[percent - 1] * 1000


class Client(asyncio.Protocol):
    """A connection that asks at a pace, or as soon as it has its answer."""

    def __init__(self, every: float, answers: list[tuple[int, float]]) -> None:
        """Ask once in ``every`` seconds, unless an answer is awaited; add status and seconds."""
        self._every = every
        self._answers = answers
        self._loop = asyncio.get_running_loop()
        self._asked = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``; the first requests are spread over one interval."""
        self._transport = cast(asyncio.Transport, transport)
        self._loop.call_later(random.random() * self._every, self._ask)

    def _ask(self) -> None:
        if self._transport.is_closing():
            return
        self._due = self._loop.time() + self._every
        self._asked = time.perf_counter()
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``; an answer may come in parts."""
        self._received += data
        found = LENGTH.search(self._received)
        if found and len(self._received) >= found.end() + int(found[1]):
            seconds = time.perf_counter() - self._asked
            self._answers.append((int(self._received[9:12]), seconds))
            self._received = b""
            self._loop.call_later(max(0.0, self._due - self._loop.time()), self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``; status 0 is no answer."""
        if exc:
            self._answers.append((0, time.perf_counter() - self._asked))


def ask(port: int, connections: int, rate: float) -> list[tuple[int, float]]:
    """Ask for some seconds, at a rate or as fast as answers come; return statuses and seconds."""
    answers: list[tuple[int, float]] = []
    every = connections / rate if rate else 0.0

    async def run() -> None:
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(lambda: Client(every, answers), "127.0.0.1", port)
            for _ in range(connections)
        ]
        await asyncio.sleep(SECONDS)
        for transport, _ in made:
            transport.close()

    uvloop.run(run())
    return answers


async def livez(port: int) -> int:
    """The status of a probe on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return int(answer[9:12])


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """The processor time that a process has taken."""
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        values = file.read().rsplit(")", 1)[1].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


async def load(
    port: int,
    process: subprocess.Popen[bytes],
    connections: int,
    rate: float = 0.0,
    probe_ports: dict[str, int] | None = None,
) -> tuple[Measured, dict[str, Measured]]:
    """What so many connections got, at a rate or as fast as they can, and probes beside them."""
    measured = Measured()
    probes = {name: Measured() for name in probe_ports or {}}
    loop = asyncio.get_running_loop()
    cpu = cpu_seconds(process)
    ends = time.perf_counter() + SECONDS

    async def probe(name: str, probed: int) -> None:
        while time.perf_counter() < ends:
            started = time.perf_counter()
            try:
                status = await livez(probed)
            except OSError:
                status = 0
            probes[name].add(status, time.perf_counter() - started)
            await asyncio.sleep(0.05)

    with ProcessPoolExecutor(1) as pool:
        asked = loop.run_in_executor(pool, ask, port, connections, rate)
        await asyncio.gather(*(probe(*item) for item in (probe_ports or {}).items()))
        for status, seconds in await asked:
            measured.add(status, seconds)
    measured.cpu = cpu_seconds(process) - cpu
    return measured, probes


async def wait_ready(port: int, path: str) -> None:
    """Returns once a path answers with 200."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            if (await reader.read()).startswith(b"HTTP/1.1 200"):
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)


@contextmanager
def served(settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The service with some settings."""
    environment = {
        **os.environ,
        "SENTIMENT_PORT": str(SERVICE),
        "SENTIMENT_PROBE_PORT": str(PROBES),
        **settings,
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def measure(settings: dict[str, str]) -> list[str]:
    """Returns the figures as lines of Markdown."""
    empty = subprocess.Popen([sys.executable, "-c", EMPTY_APP])
    try:
        with served(settings) as service:
            await wait_ready(SERVICE, "/readyz")
            await wait_ready(EMPTY, "/livez")
            await load(SERVICE, service, CLIENTS)  # burn-in
            closed, _ = await load(SERVICE, service, CLIENTS)
            sustainable = closed.count(200) / SECONDS
            full, _ = await load(SERVICE, service, CLIENTS, 0.9 * sustainable)
            ports = {"/livez": SERVICE, "/livez, probe port": PROBES}
            over, probes = await load(SERVICE, service, CONNECTIONS, 3 * sustainable, ports)
        bare, bare_probes = await load(
            EMPTY, empty, CONNECTIONS, 3 * sustainable, {"/livez, empty app": EMPTY}
        )
    finally:
        empty.kill()
        empty.wait()
    with served({**settings, "SENTIMENT_MAX_QUEUE_TEXTS": "1", "SENTIMENT_MAX_ITEMS": "1"}) as one:
        await wait_ready(SERVICE, "/readyz")
        refusing, _ = await load(SERVICE, one, CLIENTS)
    answer_cpu = full.cpu / full.count(200)
    answered, refused = refusing.count(200), refusing.count(429)
    refusal_cpu = (refusing.cpu - answered * answer_cpu) / refused
    rows = [
        f"{machine()}, shared by the services, the load and the probes; settings: "
        f"{settings or 'the defaults'}.",
        "",
        "| load | requests a second | answered | 429 | other | p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rate, found in (
        ("nine tenths", 0.9 * sustainable, full),
        ("three times", 3 * sustainable, over),
        ("three times, empty app", 3 * sustainable, bare),
    ):
        others = sum(map(len, found.latencies.values())) - found.count(200, 429)
        rows.append(
            f"| {name} | {rate:,.0f} | {found.count(200):,} | {found.count(429):,} | {others} "
            f"| {found.percentile(50):.1f} | {found.percentile(99):.1f} |"
        )
    rows += ["", "| probe at three times the load | probes | p50 ms | p99 ms |"]
    rows.append("|---|---:|---:|---:|")
    for name, probe in {**probes, **bare_probes}.items():
        rows.append(
            f"| {name} | {probe.count(200)} | {probe.percentile(50):.1f} "
            f"| {probe.percentile(99):.1f} |"
        )
    ratio = over.percentile(99) / full.percentile(99)
    return [
        *rows,
        "",
        f"The p99 of what is answered is {ratio:.1f} times that at nine tenths of the load, and "
        f"{over.percentile(99) / bare.percentile(99):.1f} times the empty application's at the "
        f"same load. A refusal takes {refusal_cpu * 1e6:.0f} µs of processor time, "
        f"{refusal_cpu / answer_cpu:.2f} of an answer's {answer_cpu * 1e6:.0f}.",
    ]


def main() -> None:
    """Prints the figures, and writes them where asked to."""
    arguments = sys.argv[1:]
    settings = dict(each.split("=", 1) for each in arguments if each != "--write")
    measured = "\n".join(asyncio.run(measure(settings)))
    print(measured)
    if "--write" in arguments:
        replace_block("overload", measured)


if __name__ == "__main__":
    main()
