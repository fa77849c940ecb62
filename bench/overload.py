"""Three times what the service can carry: how long answers and probes take, what a no costs.

    .venv/bin/python bench/overload.py [SETTING=VALUE ...]

Settings (SENTIMENT_QUEUE_TEXTS=64, say) are those of the service. It finds the load that clients
who wait for their answer can sustain, then sends nine tenths of it, then three times it, each
request at its own time whether or not others were answered, on as many connections as that takes.
Probes come on new connections meanwhile, as an orchestrator sends them. An empty FastAPI
application gets the same requests at the same times in the same run. All share this machine's
processors.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import quantiles

from model.gate import gate_sentences

SECONDS = 10.0
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
TEXTS = [sentence.text for sentence in gate_sentences()]


@dataclass
class Measured:
    """Latencies in seconds by status, and the processor time of the server."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    cpu: float = 0.0
    connections: int = 0

    def add(self, status: int, seconds: float) -> None:
        """One answer; status 0 is none at all."""
        self.latencies.setdefault(status, []).append(seconds)

    def count(self, *statuses: int) -> int:
        """How many answers had one of these statuses."""
        return sum(len(self.latencies.get(status, [])) for status in statuses)

    def percentile(self, percent: int, status: int = 200) -> float:
        """A percentile of the latencies with a status, in milliseconds."""
        return quantiles(self.latencies[status], n=100)[percent - 1] * 1000


class Connections:
    """A pool of connections to one port, as large as it has to be."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.opened = 0
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, text: str) -> int:
        """The status of a request for one text."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            self.opened += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = f'{{"text": "{text}"}}'.encode()
        head = (
            "POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        self._idle.append((reader, writer))
        return int(answer[9:12])

    def close(self) -> None:
        """Closes those that nobody uses."""
        for _, writer in self._idle:
            writer.close()


async def livez(port: int) -> int:
    """The status of a probe on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return int(answer[9:12])


async def timed(measured: Measured, ask: Callable[[], Awaitable[int]]) -> None:
    """Adds one answer."""
    started = time.perf_counter()
    try:
        status = await ask()
    except (OSError, asyncio.IncompleteReadError):
        status = 0
    measured.add(status, time.perf_counter() - started)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """The processor time that a process has taken."""
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
        values = file.read().rsplit(")", 1)[1].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


async def closed_loop(port: int, clients: int) -> float:
    """Requests a second of so many clients that wait for their answers."""
    measured, connections = Measured(), Connections(port)
    ends = time.perf_counter() + SECONDS

    async def client(seed: int) -> None:
        chosen = random.Random(seed)
        while time.perf_counter() < ends:
            await timed(measured, lambda: connections.post(chosen.choice(TEXTS)))

    await asyncio.gather(*map(client, range(clients)))
    connections.close()
    return measured.count(200) / SECONDS


async def open_loop(
    port: int, process: subprocess.Popen[bytes], rate: float, probe_ports: dict[str, int]
) -> tuple[Measured, dict[str, Measured]]:
    """Requests at a rate, and probes beside them, by name."""
    measured, connections = Measured(), Connections(port)
    probes = {name: Measured() for name in probe_ports}
    chosen = random.Random(0)
    began, cpu = time.perf_counter(), cpu_seconds(process)
    tasks = []

    async def probe(name: str) -> None:
        while time.perf_counter() - began < SECONDS:
            await timed(probes[name], lambda: livez(probe_ports[name]))
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(probe(name)) for name in probe_ports]
    due = 0.0
    while due < SECONDS:
        if (wait := due - (time.perf_counter() - began)) > 0:
            await asyncio.sleep(wait)
        text = chosen.choice(TEXTS)
        tasks.append(asyncio.create_task(timed(measured, lambda t=text: connections.post(t))))
        due += chosen.expovariate(rate)
    await asyncio.gather(*tasks)
    measured.cpu = cpu_seconds(process) - cpu
    measured.connections = connections.opened
    connections.close()
    return measured, probes


async def wait_ready(port: int, path: str) -> None:
    """Returns once a path answers with 200."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            if (await reader.read()).startswith(b"HTTP/1.1 200"):
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)


async def main(settings: dict[str, str]) -> None:
    """Prints the figures as Markdown."""
    environment = {
        **os.environ,
        "SENTIMENT_PORT": str(SERVICE),
        "SENTIMENT_PROBE_PORT": str(PROBES),
        **settings,
    }
    log = tempfile.TemporaryFile()  # noqa: SIM115 (the process writes it until its end)
    service = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"], env=environment, stderr=log
    )
    empty = subprocess.Popen([sys.executable, "-c", EMPTY_APP])
    try:
        await wait_ready(SERVICE, "/readyz")
        await wait_ready(EMPTY, "/livez")
        await closed_loop(SERVICE, 16)  # burn-in
        sustainable = max([await closed_loop(SERVICE, clients) for clients in (16, 64)])
        full, _ = await open_loop(SERVICE, service, 0.9 * sustainable, {})
        ports = {"/livez": SERVICE, "/livez, probe port": PROBES}
        over, probes = await open_loop(SERVICE, service, 3 * sustainable, ports)
        bare, bare_probes = await open_loop(
            EMPTY, empty, 3 * sustainable, {"/livez, empty app": EMPTY}
        )
    finally:
        for process in (service, empty):
            process.kill()
            process.wait()
    answered, refused = over.count(200), over.count(429)
    answer_cpu = full.cpu / full.count(200)
    refusal_cpu = (over.cpu - answered * answer_cpu) / max(refused, 1)
    print(f"settings: {settings or 'the defaults'}; {os.cpu_count()} processors for all\n")
    print("| load | requests a second | answered | 429 | other | connections | p50 ms | p99 ms |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, rate, load in (
        ("nine tenths", 0.9 * sustainable, full),
        ("three times", 3 * sustainable, over),
        ("three times, empty app", 3 * sustainable, bare),
    ):
        others = sum(map(len, load.latencies.values())) - load.count(200, 429)
        print(
            f"| {name} | {rate:.0f} | {load.count(200)} | {load.count(429)} | {others} "
            f"| {load.connections} | {load.percentile(50):.1f} | {load.percentile(99):.1f} |"
        )
    print("\n| probe at three times the load | probes | p50 ms | p99 ms |\n|---|---:|---:|---:|")
    for name, probe in {**probes, **bare_probes}.items():
        print(
            f"| {name} | {probe.count(200)} | {probe.percentile(50):.1f} "
            f"| {probe.percentile(99):.1f} |"
        )
    print(f"\naccepted p99, overload to full load: {over.percentile(99) / full.percentile(99):.1f}")
    print(
        f"processor time of a refusal: {refusal_cpu * 1000:.2f} ms, "
        f"{refusal_cpu / answer_cpu:.2f} of an answer's {answer_cpu * 1000:.2f} ms"
    )


if __name__ == "__main__":
    asyncio.run(main(dict(argument.split("=", 1) for argument in sys.argv[1:])))
