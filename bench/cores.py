"""Measure our service on one processor and on more, and compare with what a model predicts.

    SENTIMENT_DATA=... .venv/bin/python -m bench.cores [--seconds 5] [--write]

The server runs on 1, 2, 4, 8 and 16 processors, as far as this machine has them, with one process
and with one per processor. The model knows only the first row: what an answer costs on one
processor. docs/performance.md has its assumptions.
"""

import argparse
import os
import tempfile
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from bench.document import machine, replace_block
from bench.serving.load import Load, run_wrk
from bench.serving.processors import pinned
from bench.serving.servers import Server, ours
from bench.serving.texts import describe, load_texts, write_bodies

CORES = (1, 2, 4, 8, 16)
CONNECTIONS_PER_CORE = 32
FEWEST_CONNECTIONS = 64
WARM_UP_SECONDS = 2


@dataclass(frozen=True)
class Cost:
    """Seconds of a processor for an answer: of the event loop, of all other threads, and of wrk."""

    loop: float
    engine: float
    wrk: float


@dataclass(frozen=True)
class Setting:
    """How many processors the server has, how many processes, and whether wrk is among them."""

    cores: int
    workers: int
    shared: bool = False

    @property
    def connections(self) -> int:
        """As many as keep the runs of every process full."""
        return max(FEWEST_CONNECTIONS, CONNECTIONS_PER_CORE * self.cores)


def cost(load: Load) -> Cost:
    """What an answer cost under a load."""
    return Cost(
        loop=load.loop_cpu_seconds / load.successes,
        engine=(load.server_cpu_seconds - load.loop_cpu_seconds) / load.successes,
        wrk=load.wrk_cpu_seconds / load.successes,
    )


def predict(setting: Setting, of_answer: Cost) -> float:
    """Answers a second: all processors busy, or every event loop, whichever is reached first."""
    total = of_answer.loop + of_answer.engine + (of_answer.wrk if setting.shared else 0)
    return min(setting.cores / total, setting.workers / of_answer.loop)


def settings(available: int) -> list[Setting]:
    """One process, and one per processor; wrk is among the server's where none is left for it."""
    return [
        Setting(cores, workers, shared=cores == available)
        for cores in CORES
        for workers in sorted({1, cores})
    ]


def measure(setting: Setting, processors: Set[int], seconds: int, directory: Path) -> Load:
    """The service in a setting, under as many connections as it is to have."""
    available = sorted(processors)
    of_server = set(available[: setting.cores])
    of_wrk = of_server if setting.shared else {available[-1]}
    bodies = write_bodies(load_texts(), directory).singles
    system = ours("onnx", SENTIMENT_WORKERS=str(setting.workers))
    with pinned(of_server), Server(system, directory) as server:
        for duration in (WARM_UP_SECONDS, seconds):
            server.wait_idle()
            load = run_wrk(server, "/v1/predict", bodies, setting.connections, duration, of_wrk)
    if load.refused or load.broken:
        raise RuntimeError(f"{load.refused + load.broken} requests failed")
    return load


def report(loads: dict[Setting, Load], available: int) -> str:
    """The table, as Markdown; settings without a load are predicted alone."""
    of_answer = cost(next(iter(loads.values())))
    lines = [
        "| processors | processes | wrk | predicted, answers/s | measured "
        "| event loop, µs an answer | other threads, µs | wrk, µs |",
        "|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for setting in settings(available):
        shared = "among them" if setting.shared else "apart"
        cells = [f"{setting.cores}", f"{setting.workers}", shared]
        cells.append(f"{predict(setting, of_answer):,.0f}")
        if load := loads.get(setting):
            spent = cost(load)
            cells.append(f"{load.rate:,.0f}")
            cells += [f"{1e6 * part:.0f}" for part in (spent.loop, spent.engine, spent.wrk)]
        else:
            cells += ["–"] * 4
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the options, measures and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cores", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each load; default 5")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    options = parser.parse_args()
    processors = os.sched_getaffinity(0)
    loads = {}
    with tempfile.TemporaryDirectory() as directory:
        for setting in settings(len(processors)):
            if setting.cores <= len(processors):
                load = measure(setting, processors, options.seconds, Path(directory))
                loads[setting] = load
                print(f"{setting}: {load.rate:.0f}/s, {cost(load)}", flush=True)
    table = report(loads, len(processors))
    print(table)
    if options.write:
        replace_block("cores", f"{machine()}. {describe(load_texts())}.\n\n{table}")


if __name__ == "__main__":
    main()
