"""How fast texts are answered under load, so that a queue can be bounded in time."""

import time

# What is remembered of the past at each departure; about the last hundred count.
_MEMORY = 0.99


class Pace:
    """The time that a text takes, by when texts leave a queue that is busy.

    With hardly anybody there, the time between two departures is what one text takes from end to
    end, and tells nothing of how many a second there could be. So only departures from a queue of
    at least ``busy_texts`` count.
    """

    def __init__(self, busy_texts: int) -> None:
        self.busy_texts = busy_texts
        self._since = 0.0
        self._seconds = 0.0
        self._texts = 0.0

    @property
    def seconds_per_text(self) -> float:
        """0 as long as nothing is known."""
        return self._seconds / self._texts if self._texts else 0.0

    def leave(self, texts: int, there: int) -> None:
        """So many texts were answered, or none, when ``there`` were in the queue."""
        now = time.perf_counter()
        if there >= self.busy_texts:
            kept = _MEMORY if texts else 1.0  # who leaves without an answer only took time
            self._seconds = self._seconds * kept + now - self._since
            self._texts = self._texts * kept + texts
        self._since = now

    def begin(self) -> None:
        """The queue is no longer empty."""
        self._since = time.perf_counter()
