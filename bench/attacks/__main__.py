"""How a well-behaved client fares while others attack: `python -m bench.attacks [--write]`.

Each attack runs against one service with default settings, from a process of its own, and beside
it a client that asks fifty times a second, half of it over a connection that it keeps and half on
new ones. All share this machine's processors. Between two attacks the service gets the time to let
go of what the last one left; that its memory and files come back is part of the table.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

from bench.attacks.client import well_behaved
from bench.attacks.floods import ATTACKS, attacked
from bench.attacks.wire import Target
from bench.document import machine, replace_block
from bench.serving.servers import ONNX, Server

SECONDS = 10.0
# A connection that a client never closes is gone by then.
_LONGEST_REST = 90.0


@dataclass(frozen=True)
class Fared:
    """What an attack got, and what a well-behaved client did meanwhile.

    Latencies are in milliseconds from the request to the end of its answer, connecting included.
    """

    attack: str
    attacked: dict[str, int]
    answered: dict[str, int]
    p50: float
    p99: float
    longest: float
    megabytes_before: float
    megabytes_after: float
    files_before: int
    files_after: int


def measure(server: Server, name: str, seconds: float, pool: ProcessPoolExecutor) -> Fared:
    """One attack and the client beside it."""
    address = urlsplit(server.url(""))
    target = Target(address.hostname or "", address.port or 0)
    megabytes, files = server.memory().rss, server.counts().descriptors
    attacking = pool.submit(attacked, name, target, seconds + 1.0)
    time.sleep(1.0)
    found = pool.submit(well_behaved, target, seconds).result()
    counts = attacking.result()
    rests = time.monotonic() + _LONGEST_REST
    while server.counts().descriptors > files and time.monotonic() < rests:
        time.sleep(0.2)
    server.wait_idle()
    latencies = sorted(seconds * 1000 for _, seconds in found)
    steps = quantiles(latencies, n=100)
    return Fared(
        name,
        dict(sorted(counts.items())),
        dict(sorted(Counter(status for status, _ in found).items())),
        steps[49],
        steps[98],
        latencies[-1],
        megabytes,
        server.memory().rss,
        files,
        server.counts().descriptors,
    )


def table(rows: list[Fared]) -> str:
    """A row an attack, as Markdown."""
    lines = [
        "| attack | what it got | the client got | p50 ms | p99 ms | longest ms | MB | files |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.attack} | {_counted(row.attacked)} | {_counted(row.answered)} | {row.p50:.1f} "
        f"| {row.p99:.1f} | {row.longest:.0f} "
        f"| {row.megabytes_before:.0f} → {row.megabytes_after:.0f} "
        f"| {row.files_before} → {row.files_after} |"
        for row in rows
    ]
    return "\n".join(lines)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{status}: {count:,}" for status, count in counts.items()) or "nothing"


def main() -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.attacks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put it into docs/performance.md")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    parser.add_argument("--only", default="", help="attacks whose name holds this")
    options = parser.parse_args()
    rows = []
    load, _, _ = os.getloadavg()
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as directory,
        Server(ONNX, Path(directory)) as server,
        ProcessPoolExecutor(2, context) as pool,
    ):
        names = [attack.name for attack in ATTACKS if options.only in attack.name]
        measure(server, "wrong lengths", 2.0, pool)  # burn-in
        for name in names:
            rows.append(measure(server, name, options.seconds, pool))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
        log = (Path(directory) / "server.log").read_text(encoding="utf-8")
    errors = [line for line in log.splitlines() if '"level": "error"' in line]
    print(f"\n{len(errors)} errors in the log")
    for line in errors[:5]:
        print(line[:2000])
    if options.write:
        content = (
            f"{machine()}, shared with the attackers; the load before them was {load:.1f}."
            f"\n\n{table(rows)}"
        )
        replace_block("attacks", content)


if __name__ == "__main__":
    main()
