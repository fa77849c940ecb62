"""The load: wrk, in a process of its own."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).parent / "post.lua"


@dataclass(frozen=True)
class Load:
    """What came of one run of wrk.

    ``answers`` are all that came, ``refused`` those of them that are no success, and ``broken``
    the connections that failed.
    """

    answers: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Successful answers a second."""
        return (self.answers - self.refused) / self.seconds


def run_wrk(url: str, bodies: Path, connections: int, seconds: int) -> Load:
    """So many connections, each of which waits for its answer before it asks again."""
    finished = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds}s", "--timeout", "60s", "--latency"),
            *("--script", str(_SCRIPT), url, "--", str(bodies)),
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    return Load(**json.loads(finished.stdout.splitlines()[-1]))


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
