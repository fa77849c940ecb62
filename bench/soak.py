"""An hour of mixed traffic: whether memory, descriptors, threads or latency grow with time.

    SENTIMENT_DATA=... .venv/bin/python -m bench.soak [--minutes N] [--write]

It starts the service with its defaults and finds the full rate of the traffic (`bench/traffic.py`)
that clients who wait for their answer can have. Then it sends half of that on a fixed schedule,
and twice the full rate for a second every half minute. Clients go away while they send and while
they wait, and some send what is refused. Latencies are those of ordinary requests to /v1/predict
outside the bursts' own, from when they were due. Load and service share this machine's processors.

The exit code is 1 if resident memory grows by 2% or more from minute 10 (or a sixth of the time)
to the end, if more descriptors are open at rest than before, if the fewest threads of the last
minute are more than the most of the first, or if any request got no answer or one that it should
not. A 5xx is one, but for the readiness probes, which are 503 while the queue is full.
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.document import FIGURES, machine, replace_block
from bench.serving.servers import ONNX, Server
from bench.serving.texts import describe, load_texts
from bench.traffic import LEFT, Client, Request, Traffic
from model.progress import Progress

SAMPLE_SECONDS = 5.0
CLIENTS = 16  # who measure the full rate
BURST_SECONDS, BURST_EVERY, BURST_RATE = 1.0, 30.0, 2.0  # the last in full rates
WARM_UP_MINUTES = 10.0
MOST_GROWTH = 0.02
# Idle connections are closed by then; see SENTIMENT_KEEP_ALIVE_SECONDS.
IDLE_SECONDS = 8.0
COLOUR, GREY = "#c0392b", "#7f8c8d"


@dataclass(frozen=True)
class Sample:
    """The service at a moment; latencies in milliseconds since the sample before."""

    second: float
    megabytes: float
    descriptors: int
    threads: int
    p50_ms: float
    p99_ms: float


@dataclass
class Soak:
    """What was found."""

    minutes: float
    full_rate: float = 0.0
    idle_descriptors: tuple[int, int] = (0, 0)  # before and after
    samples: list[Sample] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # due s, ms
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long the load lasted."""
        return self.minutes * 60

    @property
    def warm_up(self) -> float:
        """The second from which on nothing should grow."""
        return min(WARM_UP_MINUTES * 60, self.seconds / 6)

    @property
    def ends(self) -> tuple[list[Sample], list[Sample]]:
        """Return the samples of the first minute after the warm-up, and of the last minute."""
        span = min(60.0, self.seconds / 6)
        first = [s for s in self.samples if self.warm_up <= s.second < self.warm_up + span]
        return first, [s for s in self.samples if s.second > self.seconds - span]

    @property
    def megabytes(self) -> tuple[float, float]:
        """Resident memory, the median of each end."""
        first, last = self.ends
        return median(s.megabytes for s in first), median(s.megabytes for s in last)

    @property
    def growth(self) -> float:
        """Of resident memory, as a share."""
        first, last = self.megabytes
        return last / first - 1

    @property
    def slope(self) -> float:
        """Return the slope of resident memory after the warm-up, in MB per hour."""
        warm = [sample for sample in self.samples if sample.second >= self.warm_up]
        slope, _ = np.polyfit([s.second / 3600 for s in warm], [s.megabytes for s in warm], 1)
        return float(slope)

    @property
    def threads(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The fewest and the most of each end: those that read files come and go."""
        first, last = ([sample.threads for sample in end] for end in self.ends)
        return (min(first), max(first)), (min(last), max(last))

    def percentiles(self, begin: float, end: float) -> tuple[float, float]:
        """p50 and p99 of what was due in these seconds, in milliseconds."""
        return percentiles([ms for due, ms in self.latencies if begin <= due < end])

    @property
    def faults(self) -> list[str]:
        """What should not have been, in sentences."""
        found = []
        if self.growth >= MOST_GROWTH:
            found.append(f"resident memory grew by {self.growth:.1%}")
        before, after = self.idle_descriptors
        if after > before:
            found.append(f"{after - before} file descriptors stayed open")
        (_, most), (fewest, _) = self.threads
        if fewest > most:
            found.append(f"threads grew from {most} to {fewest}")
        for kind, outcomes in self.outcomes.items():
            found += [
                f"{kind}: {count} times {outcome}"
                for outcome, count in outcomes.items()
                if outcome != LEFT and not outcome.isdigit()
            ]
        return found


def percentiles(milliseconds: list[float]) -> tuple[float, float]:
    """p50 and p99; not a number where nothing was measured."""
    if not milliseconds:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return float(p50), float(p99)


class Run:
    """One run against a server."""

    def __init__(self, server: Server, requests: Iterator[Request], soak: Soak) -> None:
        self._server = server
        self._requests = requests
        self._client = Client(server.port)
        self._soak = soak
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = 0.0

    async def whole(self, seconds_of_full_rate: float) -> None:
        """The full rate, the load, and what is left once it has ended."""
        soak, seconds = self._soak, seconds_of_full_rate
        await self._full_rate(seconds / 2)  # burn-in
        soak.full_rate = await self._full_rate(seconds)
        before = await self._idle_descriptors()
        print(f"full rate {soak.full_rate:.0f} requests a second, half of it from now on")
        self._started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._load(soak.full_rate / 2, 0.0, soak.seconds, timed=True))
            group.create_task(self._bursts())
            group.create_task(self._watch())
        await asyncio.gather(*self._tasks)
        soak.idle_descriptors = before, await self._idle_descriptors()

    async def _full_rate(self, seconds: float) -> float:
        answered = 0
        ends = time.perf_counter() + seconds

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() < ends:
                if await self._client.send(next(self._requests)) != "429":
                    answered += 1
                else:  # which costs nothing and would flatter the rate
                    await asyncio.sleep(0.1)

        await asyncio.gather(*(ask() for _ in range(CLIENTS)))
        return answered / seconds

    async def _idle_descriptors(self) -> int:
        await self._client.close()
        await asyncio.sleep(IDLE_SECONDS)
        return self._server.counts().descriptors

    async def _load(self, rate: float, begin: float, end: float, *, timed: bool) -> None:
        """Sends at a rate, whatever becomes of what was sent before."""
        for number in range(int((end - begin) * rate)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - self._now()))
            task = asyncio.create_task(self._one(next(self._requests), due, timed=timed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _bursts(self) -> None:
        rate = self._soak.full_rate * (BURST_RATE - 0.5)
        begin = BURST_EVERY / 2
        while begin + BURST_SECONDS < self._soak.seconds:
            await self._load(rate, begin, begin + BURST_SECONDS, timed=False)
            begin += BURST_EVERY

    async def _one(self, request: Request, due: float, *, timed: bool) -> None:
        outcome = await self._client.send(request)
        self._soak.outcomes.setdefault(request.kind, Counter())[outcome] += 1
        if timed and request.kind == "predict" and outcome == "200":
            self._soak.latencies.append((due, (self._now() - due) * 1000))

    async def _watch(self) -> None:
        seen = 0
        steps = int(self._soak.seconds / SAMPLE_SECONDS)
        with Progress("soak", steps) as progress:
            for number in range(1, steps + 1):
                await asyncio.sleep(max(0.0, number * SAMPLE_SECONDS - self._now()))
                counts = self._server.counts()
                latest = [ms for _, ms in self._soak.latencies[seen:]]
                seen += len(latest)
                sample = Sample(
                    self._now(),
                    self._server.memory().rss,
                    counts.descriptors,
                    counts.threads,
                    *percentiles(latest),
                )
                self._soak.samples.append(sample)
                progress.step(
                    megabytes=sample.megabytes,
                    descriptors=sample.descriptors,
                    threads=sample.threads,
                    p50_ms=sample.p50_ms,
                    p99_ms=sample.p99_ms,
                )

    def _now(self) -> float:
        return time.perf_counter() - self._started


def report(soak: Soak) -> str:
    """The tables, as Markdown."""
    sixth = soak.seconds / 6
    (p50, p99), (last_p50, last_p99) = (
        soak.percentiles(0, sixth),
        soak.percentiles(soak.seconds - sixth, soak.seconds),
    )
    (mb, last_mb), (threads, last_threads) = soak.megabytes, soak.threads
    warm = [sample for sample in soak.samples if sample.second >= soak.warm_up]
    descriptors = [sample.descriptors for sample in warm]
    every_thread = [sample.threads for sample in warm]
    before, after = soak.idle_descriptors
    lines = [
        "| | first | last | |",
        "|---|---:|---:|---|",
        f"| resident memory, MB | {mb:.1f} | {last_mb:.1f} | {soak.growth:+.1%}, "
        f"{soak.slope:+.1f} MB an hour by a straight line |",
        f"| file descriptors at rest | {before} | {after} | under load {min(descriptors)} to "
        f"{max(descriptors)}, connections included |",
        f"| threads | {threads[0]} to {threads[1]} | {last_threads[0]} to {last_threads[1]} "
        f"| {min(every_thread)} to {max(every_thread)} in between |",
        f"| p50, ms | {p50:.1f} | {last_p50:.1f} | {last_p50 / p50:.2f} times |",
        f"| p99, ms | {p99:.1f} | {last_p99:.1f} | {last_p99 / p99:.2f} times |",
        "",
        "| requests | sent | outcomes |",
        "|---|---:|---|",
    ]
    for kind, outcomes in sorted(soak.outcomes.items(), key=lambda item: -item[1].total()):
        by_count = ", ".join(f"{outcome}: {count:,}" for outcome, count in outcomes.most_common())
        lines.append(f"| {kind} | {outcomes.total():,} | {by_count} |")
    lines += ["", "; ".join(soak.faults) if soak.faults else "Nothing grew and nothing failed."]
    return "\n".join(lines)


def as_json(soak: Soak) -> dict[str, object]:
    """All but the single latencies, of which the samples have the percentiles."""
    return {
        "minutes": soak.minutes,
        "full_rate": soak.full_rate,
        "growth": soak.growth,
        "slope_megabytes_an_hour": soak.slope,
        "idle_descriptors": soak.idle_descriptors,
        "faults": soak.faults,
        "outcomes": soak.outcomes,
        "samples": [asdict(sample) for sample in soak.samples],
    }


def draw(soak: Soak, path: Path) -> None:
    """Memory, descriptors, threads and latency over time, a panel each."""
    # Names that do not change from run to run, so that a new picture differs by its lines alone.
    mpl.rcParams["svg.hashsalt"] = "soak"
    picture = Figure(figsize=(10, 7), layout="constrained")
    picture.set_facecolor("white")
    memory, descriptors, threads, latency = panels = picture.subplots(4, 1, sharex=True)
    minutes = [sample.second / 60 for sample in soak.samples]
    memory.plot(minutes, [sample.megabytes for sample in soak.samples], color=COLOUR)
    descriptors.plot(minutes, [sample.descriptors for sample in soak.samples], color=COLOUR)
    threads.plot(minutes, [sample.threads for sample in soak.samples], color=COLOUR)
    # Windows that hold equally many bursts.
    window = BURST_EVERY
    starts = np.arange(0, soak.seconds, window)
    found = [soak.percentiles(start, start + window) for start in starts]
    middles = (starts + window / 2) / 60
    for index, (name, colour) in enumerate((("p50", GREY), ("p99", COLOUR))):
        latency.plot(middles, [point[index] for point in found], color=colour, label=name)
    latency.legend(frameon=False, ncols=2)
    for axes, label in zip(
        panels,
        ("resident memory, MB", "file descriptors", "threads", "/v1/predict, ms"),
        strict=True,
    ):
        _finish(axes, label, soak.warm_up / 60)
    panels[-1].set_xlabel("minutes")
    picture.savefig(path, metadata={"Date": None})


def _finish(axes: Axes, label: str, warm_up: float) -> None:
    axes.set_ylabel(label)
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    axes.axvline(warm_up, color=GREY, linestyle=":", linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Soaks, prints the tables, and tells by the exit code whether anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of load; default 60")
    parser.add_argument(
        "--full-rate-seconds", type=float, default=10.0, help="to find it; default 10"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/soak.json"), help="default runs/soak.json"
    )
    parser.add_argument(
        "--write", action="store_true", help="put tables and chart into docs/performance.md"
    )
    options = parser.parse_args()
    if options.minutes < 0.5:
        parser.error("--minutes must be 0.5 or more, or there is too little to compare")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    texts = load_texts()
    soak = Soak(options.minutes)
    with tempfile.TemporaryDirectory() as directory, Server(ONNX, Path(directory)) as server:
        run = Run(server, iter(Traffic(texts, seed=0)), soak)
        asyncio.run(run.whole(options.full_rate_seconds))
        if soak.faults:
            log = (Path(directory) / "server.log").read_text(encoding="utf-8").splitlines()
            print(*[line for line in log if '"level": "error"' in line][-20:], sep="\n")
    content = (
        f"{machine()}, shared by service and load. {describe(texts)}. {options.minutes:g} minutes "
        f"at {soak.full_rate / 2:.0f} requests a second, half of the full rate, and bursts of "
        f"{BURST_RATE:g} times the full rate.\n\n{report(soak)}"
    )
    print(f"\n{content}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(as_json(soak), indent=1), encoding="utf-8")
    draw(soak, options.output.with_suffix(".svg"))
    if options.write:
        draw(soak, FIGURES / "soak.svg")
        picture = "![Memory, descriptors, threads and latency over time](figures/soak.svg)"
        replace_block("soak", f"{content}\n\n{picture}")
    if soak.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
