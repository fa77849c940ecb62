"""What was measured, and the figures that come of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from bench.serving.load import Load
from bench.serving.servers import EMPTY, MOSEC, ONNX, TRANSFORMER_12, Memory
from bench.serving.texts import BATCH

CONNECTIONS = (1, 16, 64)
MOST = CONNECTIONS[-1]


@dataclass(frozen=True)
class Round:
    """One system in one round: its loads by connections, one of batches, its memory after."""

    loads: dict[int, Load]
    batches: Load | None
    memory: Memory

    @property
    def failures(self) -> int:
        """Answers that were no success, and broken connections."""
        loads = [*self.loads.values(), *([self.batches] if self.batches else [])]
        return sum(load.refused + load.broken for load in loads)


@dataclass
class SystemResult:
    """One system over all rounds."""

    seconds_to_ready: float
    disk: float
    rounds: list[Round] = field(default_factory=list)

    def rates(self, connections: int) -> list[float]:
        """Requests a second of each round."""
        return [one.loads[connections].rate for one in self.rounds]

    def rate(self, connections: int) -> float:
        """Their median."""
        return median(self.rates(connections))

    def p50(self, connections: int) -> float:
        """The median over rounds of the median latency, in milliseconds."""
        return median(one.loads[connections].p50_ms for one in self.rounds)

    def p99(self, connections: int) -> float:
        """The median over rounds of the 99th percentile of latency, in milliseconds."""
        return median(one.loads[connections].p99_ms for one in self.rounds)

    def batch_texts(self) -> float | None:
        """Texts a second in batches, if the system takes any."""
        rates = [one.batches.rate * BATCH for one in self.rounds if one.batches]
        return median(rates) if rates else None

    def texts_per_core_second(self) -> float:
        """Texts for each second of a processor that the server used, at most connections."""
        return median(one.loads[MOST].per_core_second for one in self.rounds)

    def batch_texts_per_core_second(self) -> float | None:
        """The same in batches, if the system takes any."""
        found = [one.batches.per_core_second * BATCH for one in self.rounds if one.batches]
        return median(found) if found else None

    def memory(self) -> float:
        """Resident megabytes after the loads."""
        return median(one.memory.rss for one in self.rounds)

    def failures(self) -> int:
        """In all rounds."""
        return sum(one.failures for one in self.rounds)


@dataclass
class Results:
    """A whole run; what was not measured is empty.

    ``one_by_one_ms`` and ``together_rates`` are the model's own, a value a round, and
    ``previous_rates`` those of an earlier artifact, ``previous``, which alternate with them;
    ``endurance`` are requests answered and the memory then; ``workers`` the memory and load by
    their number.
    """

    systems: dict[str, SystemResult] = field(default_factory=dict)
    one_by_one_ms: list[float] = field(default_factory=list)
    together_rates: list[float] = field(default_factory=list)
    previous: str = ""
    previous_rates: list[float] = field(default_factory=list)
    endurance: list[tuple[int, Memory]] = field(default_factory=list)
    workers: dict[int, tuple[Memory, Load]] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """One figure, what it should be, and what it is; one without a target is only told."""

    name: str
    reached: float | None
    digits: int = 2
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; ``None`` where there is none or nothing was measured."""
        if self.reached is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.reached >= self.at_least) and (
            self.at_most is None or self.reached <= self.at_most
        )


def figures(results: Results) -> list[Figure]:
    """The figures that targets are set for."""
    found = results.systems
    ours = found.get(ONNX.name)

    def to(name: str) -> float | None:
        other = found.get(name)
        return ours.rate(MOST) / other.rate(MOST) if ours and other and other.rate(MOST) else None

    latency = batches = None
    if ours and (empty := found.get(EMPTY.name)) and results.one_by_one_ms:
        latency = ours.p50(1) / (empty.p50(1) + median(results.one_by_one_ms))
    if ours and (texts := ours.batch_texts()) and results.together_rates:
        batches = texts / median(results.together_rates)
    return [
        Figure(
            f"requests a second at {MOST} connections, ours ÷ empty FastAPI",
            to(EMPTY.name), at_least=0.45,
        ),
        Figure("the same ÷ mosec", to(MOSEC.name), at_least=1),
        Figure(f"the same ÷ {TRANSFORMER_12.name}", to(TRANSFORMER_12.name), 1, at_least=8),
        Figure("p50 at 1 connection ÷ (empty FastAPI + the engine's own)", latency, at_most=1.3),
        Figure("`/v1/predict/batch` ÷ `Classifier.predict`", batches, at_least=0.85),
        *_previous_figures(results),
        Figure("start to ready", ours.seconds_to_ready if ours else None, 2, " s", at_most=0.6),
        *_memory_figures(results),
    ]  # fmt: skip


def _previous_figures(results: Results) -> Iterable[Figure]:
    if results.previous_rates:
        ratio = median(results.together_rates) / median(results.previous_rates)
        name = f"`Classifier.predict`, texts a second, ÷ that of {results.previous}"
        yield Figure(name, ratio, at_least=2.5)


def _memory_figures(results: Results) -> Iterable[Figure]:
    for requests, memory in results.endurance:
        last = requests == results.endurance[-1][0]
        yield Figure(
            f"resident memory after {requests:,} requests", memory.rss, 0, " MB",
            at_most=200 if last else None,
        )  # fmt: skip
    if results.endurance:
        growth = results.endurance[-1][1].rss - results.endurance[0][1].rss
        yield Figure("growth in the last half of them", growth, 1, " MB")
    if len(results.workers) > 1:
        least, most = min(results.workers), max(results.workers)
        few, many = results.workers[least][0], results.workers[most][0]
        for name, more in (("shared pages apart", many.pss - few.pss), ("RSS", many.rss - few.rss)):
            yield Figure(f"memory of each further worker, {name}", more / (most - least), 0, " MB")
