"""Measures our service beside others: `python -m bench.serving`; docs/performance.md explains it.

Every system is started three times and timed until it is ready. Then it is loaded by wrk in
several rounds, in an order that alternates, one server at a time. All of it takes about twenty
minutes and wants the machine to itself. Where there are four processors or more, wrk has its own.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import mean

from bench.document import FIGURES, machine, replace_block
from bench.serving import in_process
from bench.serving.load import Load, busy_share, run_wrk
from bench.serving.processors import split_available
from bench.serving.report import draw, tables
from bench.serving.results import CONNECTIONS, MOST, Results, Round, SystemResult
from bench.serving.servers import ONNX, SYSTEMS, Memory, Server, System, ours
from bench.serving.sizes import megabytes
from bench.serving.texts import BATCH, describe, load_texts, write_bodies, write_lists
from model.errors import ArtifactError
from service.settings import SHIPPED_MODEL

STARTS = 3
WARM_UP_SECONDS = 2
BATCH_CONNECTIONS = 8
WORKERS = (1, 2, 3)
# Euro for an hour of a virtual processor with its share of memory, on demand, in Europe: about the
# middle between what small hosts list (0.01) and what the largest clouds do (0.06).
PRICE = 0.04


class Bench:
    """One run: its texts, how long it measures, and where its files are meanwhile."""

    def __init__(self, seconds: int, requests: int, previous: Path | None, directory: Path) -> None:
        self.seconds = seconds
        self.requests = requests
        self.directory = directory
        self.busy: list[float] = []  # what else the machine did, before each load
        self.texts = load_texts()
        self.bodies = write_bodies(self.texts, directory)
        self.lists = write_lists(self.texts, directory)
        self.processors = split_available()
        # What this process starts inherits it, and its own measurements of the model are under it.
        os.sched_setaffinity(0, self.processors.server)
        self.shipped = in_process.load(SHIPPED_MODEL)
        self.previous = in_process.load(previous) if previous else None

    def run(self, systems: list[System], rounds: int) -> Results:
        """Measures the systems and, if it is among them, what is asked of ours alone."""
        results = Results()
        if self.previous:
            manifest = self.previous.artifact.manifest
            results.previous = f"{manifest.name} {manifest.version}"
        for system in systems:
            results.systems[system.name] = self.start(system)
        for number in range(rounds):
            for system in systems if number % 2 == 0 else reversed(systems):
                print(f"round {number + 1} of {rounds}, {system.name}:", end=" ", flush=True)
                results.systems[system.name].rounds.append(self.round(system))
                if system is ONNX:
                    self.without_service(results)
        if ONNX in systems:
            results.endurance = self.endurance()
            results.workers = {count: self.workers(count) for count in WORKERS}
        return results

    def start(self, system: System) -> SystemResult:
        """The best of several starts: the first ones fill caches."""
        starts = []
        for _ in range(STARTS):
            with Server(system, self.directory) as server:
                starts.append(server.seconds_to_ready)
        result = SystemResult(min(starts), megabytes(system, self.directory))
        print(f"{system.name}: ready after {min(starts):.2f} s", flush=True)
        return result

    def round(self, system: System) -> Round:
        """One system under each load."""
        with Server(system, self.directory) as server:
            self.load(server, CONNECTIONS[1], WARM_UP_SECONDS)
            loads = {}
            for count in CONNECTIONS:
                loads[count] = self.load(server, count)
                print(f"{count} conn. {loads[count].rate:.1f}/s,", end=" ", flush=True)
            batches = None
            if system.batch_path:
                batches = run_wrk(
                    server,
                    system.batch_path,
                    (self.lists if system.lists else self.bodies).batches,
                    BATCH_CONNECTIONS,
                    self.seconds * system.patience,
                    self.processors.load,
                )
                print(f"batches {batches.rate * BATCH:.1f} texts/s,", end=" ")
            measured = Round(loads, batches, server.memory())
        print(f"{measured.memory.rss:.0f} MB, {measured.failures} failed", flush=True)
        return measured

    def load(self, server: Server, connections: int, seconds: int | None = None) -> Load:
        """One load of single texts, from when the server is idle."""
        server.wait_idle()
        self.busy.append(busy_share())
        singles = (self.lists if server.system.lists else self.bodies).singles
        return run_wrk(
            server,
            "/v1/predict",
            singles,
            connections,
            seconds or self.seconds,
            self.processors.load,
        )

    def without_service(self, results: Results) -> None:
        """The model's own speed on the same texts."""
        results.one_by_one_ms.append(in_process.one_by_one_ms(self.texts))
        rates = [(self.shipped, results.together_rates)]
        if self.previous:
            rates.append((self.previous, results.previous_rates))
        # Which one comes first alternates.
        for classifier, found in rates[:: 1 if len(results.together_rates) % 2 == 0 else -1]:
            found.append(in_process.together_rate(classifier, self.texts))
        together = " and ".join(f"{found[-1]:.0f}" for _, found in rates)
        print(
            f"  the model in one process: {results.one_by_one_ms[-1]:.2f} ms a text one by one, "
            f"{together} texts/s together",
            flush=True,
        )

    def endurance(self) -> list[tuple[int, Memory]]:
        """Our memory after half of the requests and after all."""
        found = []
        answered = 0
        with Server(ONNX, self.directory) as server:
            for goal in (self.requests // 2, self.requests):
                while answered < goal:
                    load = self.load(server, MOST)
                    if load.refused or load.broken:
                        raise RuntimeError(f"{load.refused + load.broken} requests failed")
                    answered += load.answers
                memory = server.memory()
                found.append((answered, memory))
                print(f"after {answered:,} requests: {memory.rss:.0f} MB", flush=True)
        return found

    def workers(self, count: int) -> tuple[Memory, Load]:
        """Memory and load of several worker processes of ours."""
        with Server(ours("onnx", SENTIMENT_WORKERS=str(count)), self.directory) as server:
            self.load(server, MOST, WARM_UP_SECONDS)
            load = self.load(server, MOST)
            memory = server.memory()
        failed = load.refused + load.broken
        print(
            f"workers {count}: {load.rate:.0f}/s, {memory.pss:.0f} MB, {failed} failed", flush=True
        )
        return memory, load


def main() -> None:
    """Reads the options and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of each load; default 4")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument(
        "--requests", type=int, default=100_000, help="after which memory is read; default 100,000"
    )
    parser.add_argument(
        "--previous",
        type=Path,
        metavar="DIRECTORY",
        help="of an earlier artifact, to compare the model's own speed with",
    )
    parser.add_argument(
        "--price", type=float, default=PRICE, help=f"euro for a processor's hour; default {PRICE}"
    )
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, metavar="SYSTEM", default=SYSTEMS)
    parser.add_argument(
        "--write", action="store_true", help="put tables and chart into docs/performance.md"
    )
    options = parser.parse_args()
    if options.write and len(options.only) < len(SYSTEMS):
        parser.error("--write is for a run of all systems")
    if not shutil.which("wrk"):
        sys.exit("wrk is missing; install it (apt-get install wrk)")
    systems = [SYSTEMS[name] for name in options.only]
    if not all(system.python.exists() for system in systems):
        sys.exit("LitServe and BentoML are missing; install them (make .venv/frameworks.installed)")

    with tempfile.TemporaryDirectory() as directory:
        try:
            bench = Bench(options.seconds, options.requests, options.previous, Path(directory))
        except ArtifactError as error:
            sys.exit(f"{options.previous}: {error}")
        conditions = (
            f"{machine()}, {bench.processors}. {describe(bench.texts)}. Medians of "
            f"{options.rounds} rounds of {options.seconds} s."
        )
        print(conditions, flush=True)
        results = bench.run(systems, options.rounds)
    conditions += (
        f" Other work took {mean(bench.busy):.0%} of the processors between the loads, at most "
        f"{max(bench.busy):.0%}."
    )
    found = tables(results, options.price)
    print(f"\n{conditions}\n\n{found}")
    if options.write:
        draw(results, FIGURES / "serving.svg")
        picture = "![Requests a second and p99 of every system](figures/serving.svg)"
        replace_block("serving", f"{conditions}\n\n{found}\n\n{picture}")


if __name__ == "__main__":
    main()
