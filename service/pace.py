"""How fast texts are answered of late, so that a queue can be bounded in time."""

import time

# What is remembered of the past at each departure; about the last hundred count.
_MEMORY = 0.99


class Pace:
    """The time that a text takes, by when texts leave the queue while it is not empty."""

    def __init__(self) -> None:
        self._since = 0.0
        self._busy_seconds = 0.0
        self._texts = 0.0

    @property
    def seconds_per_text(self) -> float:
        """0 as long as nothing is known."""
        return self._busy_seconds / self._texts if self._texts else 0.0

    def begin(self) -> None:
        """The queue is no longer empty."""
        self._since = time.perf_counter()

    def leave(self, texts: int) -> None:
        """So many texts left the queue."""
        now = time.perf_counter()
        self._busy_seconds = self._busy_seconds * _MEMORY + now - self._since
        self._texts = self._texts * _MEMORY + texts
        self._since = now
