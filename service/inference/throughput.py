"""How fast the engine works of late, so that a wait can be told before it is over."""

# What is remembered of the past at each run: about the last fifty count.
_MEMORY = 0.98
# What a step of a run costs beside its rows, in rows: reading the weights, mostly.
_ROWS_OF_A_STEP = 2.6
# In a full run, which is what a queue makes, that is shared by so many rows.
_ROWS_OF_A_FULL_RUN = 16


class Throughput:
    """The time that an id takes in a full run, learnt from runs of every size.

    The time of a run is taken to grow with its steps, the ids of its longest row, times its rows
    and a constant: so a run of one row, on an idle service, tells what sixteen would take.
    """

    def __init__(self, threads: int = 1) -> None:
        """``threads`` runs go on at a time."""
        self._threads = threads
        self._seconds = 0.0
        self._row_steps = 0.0

    @property
    def seconds_per_id(self) -> float:
        """0 as long as nothing is known."""
        if not self._row_steps:
            return 0.0
        per_row_step = self._seconds / self._row_steps / self._threads
        return per_row_step * (1 + _ROWS_OF_A_STEP / _ROWS_OF_A_FULL_RUN)

    def observe(self, rows: int, steps: int, seconds: float) -> None:
        """A run of so many rows, the longest of ``steps`` ids, took so long."""
        self._seconds = self._seconds * _MEMORY + seconds
        self._row_steps = self._row_steps * _MEMORY + steps * (rows + _ROWS_OF_A_STEP)
