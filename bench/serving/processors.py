"""Which processors the server runs on, and which the load generator."""

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FEWEST_TO_SPLIT = 4


@dataclass(frozen=True)
class Split:
    """The processors of each, by the numbers that the kernel gives them."""

    server: Set[int]
    load: Set[int]

    def __str__(self) -> str:
        if self.server == self.load:
            return "shared by server and wrk"
        return f"of which wrk has {len(self.load)} to itself and the server {len(self.server)}"


def split(available: Set[int], siblings: Set[int]) -> Split:
    """Processors for the load apart from the server's where there are at least four, else all.

    ``siblings`` are the threads of the core that the last one belongs to: the load gets that core.
    """
    if len(available) < _FEWEST_TO_SPLIT:
        return Split(available, available)
    load = available & siblings
    if not load or load == available:
        load = {max(available)}
    return Split(available - load, load)


def split_available() -> Split:
    """Split those that this process may use."""
    available = os.sched_getaffinity(0)
    return split(available, siblings(max(available)))


def siblings(processor: int) -> set[int]:
    """The threads of a processor's core, itself among them."""
    topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology")
    try:
        listed = (topology / "thread_siblings_list").read_text()
    except OSError:
        return {processor}
    found: set[int] = set()
    for part in listed.split(","):  # such as 0,4 or 0-1
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@contextmanager
def pinned(processors: Set[int]) -> Iterator[None]:
    """What is started meanwhile runs on these processors alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
