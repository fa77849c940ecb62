"""Three times what the service can carry: how long answers and probes take, what a no costs.

    .venv/bin/python bench/overload.py [SETTING=VALUE ...]

Settings (SENTIMENT_MAX_QUEUE_TEXTS=64, say) are those of the service. It finds the load that 64
clients who wait for their answer can sustain, then sends nine tenths of it, then three times it
over a thousand connections, each of which asks at its share of the rate. Probes come on new
connections meanwhile, as an orchestrator sends them. An empty FastAPI application gets the same in
this run. All share this machine's processors. The load is made by hey, one text again and again.
"""

import asyncio
import csv
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

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
BODY = '{"text": "房间干净，服务也好，就是早餐太差，下次来还是会选别的地方吃。"}'


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
    limit = ["-q", str(rate / connections)] if rate else []
    cpu = cpu_seconds(process)
    client = await asyncio.create_subprocess_exec(
        *("hey", "-z", f"{SECONDS}s", "-c", str(connections), *limit, "-o", "csv"),
        *("-m", "POST", "-T", "application/json", "-d", BODY),
        f"http://127.0.0.1:{port}/v1/predict",
        stdout=subprocess.PIPE,
    )
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

    tasks = [asyncio.create_task(probe(*item)) for item in (probe_ports or {}).items()]
    printed, _ = await client.communicate()
    await asyncio.gather(*tasks)
    measured.cpu = cpu_seconds(process) - cpu
    for row in csv.DictReader(printed.decode().splitlines()):
        measured.add(int(row["status-code"]), float(row["response-time"]))
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


async def main(settings: dict[str, str]) -> None:
    """Prints the figures as Markdown."""
    environment = {
        **os.environ,
        "SENTIMENT_PORT": str(SERVICE),
        "SENTIMENT_PROBE_PORT": str(PROBES),
        **settings,
    }
    log = Path(tempfile.mkdtemp()) / "log"
    with log.open("wb") as file:
        service = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, stderr=file
        )
    empty = subprocess.Popen([sys.executable, "-c", EMPTY_APP])
    try:
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
        for process in (service, empty):
            process.kill()
            process.wait()
    answered, refused = over.count(200), over.count(429)
    answer_cpu = full.cpu / full.count(200)
    refusal_cpu = (over.cpu - answered * answer_cpu) / max(refused, 1)
    print(f"settings: {settings or 'the defaults'}; {os.cpu_count()} processors for all\n")
    print("| load | requests a second | answered | 429 | other | p50 ms | p99 ms |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, rate, found in (
        ("nine tenths", 0.9 * sustainable, full),
        ("three times", 3 * sustainable, over),
        ("three times, empty app", 3 * sustainable, bare),
    ):
        others = sum(map(len, found.latencies.values())) - found.count(200, 429)
        print(
            f"| {name} | {rate:.0f} | {found.count(200)} | {found.count(429)} | {others} "
            f"| {found.percentile(50):.1f} | {found.percentile(99):.1f} |"
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
