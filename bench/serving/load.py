"""The load: wrk, in a process of its own."""

import json
import resource
import subprocess
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from bench.serving.processors import pinned
from bench.serving.servers import Server

_SCRIPT = Path(__file__).parent / "post.lua"


@dataclass(frozen=True)
class Load:
    """What came of one run of wrk.

    ``answers`` are all that came, ``refused`` those of them that are no success, and ``broken``
    the connections that failed. CPU time is the server's with its children, that of its event loops
    alone, and wrk's.
    """

    answers: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float
    server_cpu_seconds: float
    loop_cpu_seconds: float
    wrk_cpu_seconds: float

    @property
    def successes(self) -> int:
        """Successful answers."""
        return self.answers - self.refused

    @property
    def rate(self) -> float:
        """Successful answers a second."""
        return self.successes / self.seconds

    @property
    def per_core_second(self) -> float:
        """Successful answers for each second of a processor that the server used."""
        return self.successes / self.server_cpu_seconds


def run_wrk(
    server: Server, path: str, bodies: Path, connections: int, seconds: int, processors: Set[int]
) -> Load:
    """So many connections, each of which waits for its answer before it asks again."""
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections)),
        *("--duration", f"{seconds}s", "--timeout", "60s", "--latency"),
        *("--script", str(_SCRIPT), server.url(path), "--", str(bodies)),
    ]
    before = _cpu_seconds(server)
    with pinned(processors):
        finished = subprocess.run(command, capture_output=True, check=True, text=True)
    spent = {name: now - before[name] for name, now in _cpu_seconds(server).items()}
    return Load(**(json.loads(finished.stdout.splitlines()[-1]) | spent))


def _cpu_seconds(server: Server) -> dict[str, float]:
    """CPU time until now, by the names that ``Load`` gives it."""
    wrk = resource.getrusage(resource.RUSAGE_CHILDREN)  # and of servers, once they have ended
    return {
        "server_cpu_seconds": server.processor_seconds(),
        "loop_cpu_seconds": server.main_thread_seconds(),
        "wrk_cpu_seconds": wrk.ru_utime + wrk.ru_stime,
    }


def busy_share(seconds: float = 0.5) -> float:
    """The share of all processors that anything on this machine uses right now."""
    before = _processor_times()
    time.sleep(seconds)
    spent = [now - then for now, then in zip(_processor_times(), before, strict=True)]
    idle = spent[3] + spent[4]  # the fifth waits for a disk
    return 1 - idle / sum(spent)


def _processor_times() -> list[int]:
    """User, nice, system, idle and so on, as the kernel counts them since it started."""
    with open("/proc/stat", encoding="ascii") as file:
        return list(map(int, file.readline().split()[1:9]))
