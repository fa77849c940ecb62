"""The engine's speed, estimated from recent runs, so that a wait can be told in advance."""

# The weight that the past keeps at each run: about the last fifty runs count.
_DECAY = 0.98
# The cost of a step of a run beside its rows, in rows: mostly reading the weights.
_ROWS_PER_STEP = 2.6
# In a full run, which is what a queue makes, this many rows share that cost.
_ROWS_OF_A_FULL_RUN = 16


class Throughput:
    """The time that an id takes in a full run, estimated from runs of every size.

    An exponentially weighted mean. The time of a run is taken to grow with its steps, the ids of
    its longest row, times its rows and a constant; so a run of one row, on an idle service, tells
    what sixteen would take.
    """

    def __init__(self, threads: int = 1) -> None:
        """``threads`` runs are performed at a time."""
        self._threads = threads
        self._seconds = 0.0
        self._row_steps = 0.0

    @property
    def seconds_per_id(self) -> float:
        """0 until something is known."""
        if not self._row_steps:
            return 0.0
        per_row_step = self._seconds / self._row_steps / self._threads
        return per_row_step * (1 + _ROWS_PER_STEP / _ROWS_OF_A_FULL_RUN)

    def observe(self, rows: int, steps: int, seconds: float) -> None:
        """Record that a run of ``rows``, the longest of ``steps`` ids, took ``seconds``."""
        self._seconds = self._seconds * _DECAY + seconds
        self._row_steps = self._row_steps * _DECAY + steps * (rows + _ROWS_PER_STEP)
