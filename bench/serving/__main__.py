"""Measures our service beside others: `python -m bench.serving`; docs/performance.md explains it.

Every system is started three times and timed until it is ready. Then it is loaded by wrk in
several rounds, in an order that alternates, one server at a time. All of it takes about twenty
minutes and wants the machine to itself.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import mean

from bench.document import FIGURES, machine, replace_block
from bench.serving import in_process
from bench.serving.load import Load, busy_share, run_wrk
from bench.serving.report import draw, tables
from bench.serving.results import CONNECTIONS, MOST, Results, Round, SystemResult
from bench.serving.servers import ONNX, SYSTEMS, Memory, Server, System, ours
from bench.serving.sizes import megabytes
from bench.serving.texts import BATCH, describe, load_texts, write_bodies

STARTS = 3
WARM_UP_SECONDS = 2
BATCH_CONNECTIONS = 8
WORKERS = (1, 2, 3)


class Bench:
    """One run: its texts, how long it measures, and where its files are meanwhile."""

    def __init__(self, seconds: int, requests: int, directory: Path) -> None:
        self.seconds = seconds
        self.requests = requests
        self.directory = directory
        self.busy: list[float] = []  # what else the machine did, before each load
        self.texts = load_texts()
        self.singles, self.batches = write_bodies(self.texts, directory)

    def run(self, systems: list[System], rounds: int) -> Results:
        """Measures the systems and, if it is among them, what is asked of ours alone."""
        results = Results()
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
            if system.batches:
                batches = run_wrk(
                    server.url("/v1/predict/batch"),
                    self.batches,
                    BATCH_CONNECTIONS,
                    self.seconds * system.patience,
                )
                print(f"batches {batches.rate * BATCH:.1f} texts/s,", end=" ")
            measured = Round(loads, batches, server.memory())
        print(f"{measured.memory.rss:.0f} MB, {measured.failures} failed", flush=True)
        return measured

    def load(self, server: Server, connections: int, seconds: int | None = None) -> Load:
        """One load of single texts, from when the server is idle."""
        server.wait_idle()
        self.busy.append(busy_share())
        return run_wrk(
            server.url("/v1/predict"), self.singles, connections, seconds or self.seconds
        )

    def without_service(self, results: Results) -> None:
        """The model's own speed on the same texts."""
        results.one_by_one_ms.append(in_process.one_by_one_ms(self.texts))
        results.together_rates.append(in_process.together_rate(self.texts))
        print(
            f"  the model in one process: {results.one_by_one_ms[-1]:.2f} ms a text one by one, "
            f"{results.together_rates[-1]:.0f} texts/s together",
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
    parser.add_argument("--seconds", type=int, default=5, help="of each load; default 5")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument(
        "--requests", type=int, default=100_000, help="after which memory is read; default 100,000"
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

    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(options.seconds, options.requests, Path(directory))
        conditions = (
            f"{machine()}, shared by server and wrk. {describe(bench.texts)}. Medians of "
            f"{options.rounds} rounds of {options.seconds} s."
        )
        print(conditions, flush=True)
        results = bench.run([SYSTEMS[name] for name in options.only], options.rounds)
    conditions += (
        f" Other work took {mean(bench.busy):.0%} of the processors between the loads, at most "
        f"{max(bench.busy):.0%}."
    )
    print(f"\n{conditions}\n\n{tables(results)}")
    if options.write:
        draw(results, FIGURES / "serving.svg")
        picture = "![Requests a second and p99 of every system](figures/serving.svg)"
        replace_block("serving", f"{conditions}\n\n{tables(results)}\n\n{picture}")


if __name__ == "__main__":
    main()
