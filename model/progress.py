"""Progress of long work: a bar in a terminal, a line every 20 seconds in a log."""

import logging
import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_LOG_SECONDS = 20.0


class Progress:
    """A context manager that counts steps and shows figures beside the count.

    ``done`` is the number of steps that an earlier, interrupted run has made.
    """

    def __init__(self, description: str, total: int | None = None, done: int = 0) -> None:
        self._description = description
        self._total = total
        self._done = done
        self._bar: Any = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, desc=description, dynamic_ncols=True)
        self._started = self._logged = time.monotonic()
        self._initial = done

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, count: int = 1, **figures: float) -> None:
        """Count further steps and show figures, with four digits each."""
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._logged < _LOG_SECONDS and self._done != self._total:
            return
        self._logged = now
        rate = (self._done - self._initial) / max(now - self._started, 1e-9)
        shown = "".join(f", {name} {value:.4g}" for name, value in figures.items())
        of_total = f" of {self._total}" if self._total else ""
        logger.info(
            "%s: %d%s, %.1f a second%s", self._description, self._done, of_total, rate, shown
        )
