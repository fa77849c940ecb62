"""Progress of long work: a bar in a terminal, in a log a line after 3 and every 20 seconds."""

import logging
import sys
import time
from gettext import gettext as _
from types import TracebackType
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_LOG_SECONDS = 20.0
# The first line comes early, so that one can go for a coffee or not.
_FIRST_LOG_SECONDS = 3.0


def duration(seconds: float) -> str:
    """Return a duration in words, as coarse as an estimate deserves.

    >>> [duration(seconds) for seconds in (0.2, 75, 600, 4000)]
    ['1 s', '75 s', '10 min', '1 h 7 min']
    """
    if seconds < 120:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return _("{hours} h {minutes} min").format(hours=hours, minutes=minutes)
    return _("{minutes} min").format(minutes=minutes)


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
        self._started = time.monotonic()
        self._next_line = self._started + _FIRST_LOG_SECONDS
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
        if now < self._next_line and self._done != self._total:
            return
        self._next_line = now + _LOG_SECONDS
        rate = (self._done - self._initial) / max(now - self._started, 1e-9)
        parts = [_("{rate:,.1f} a second").format(rate=rate)]
        if self._total and self._done < self._total:
            left = duration((self._total - self._done) / max(rate, 1e-9))
            parts.append(_("about {duration} left").format(duration=left))
        parts += [f"{_(name)} {value:.4g}" for name, value in figures.items()]
        counted = (
            _("{done} of {total}").format(done=self._done, total=self._total)
            if self._total
            else str(self._done)
        )
        logger.info(
            _("{description}: {progress}").format(
                description=self._description, progress=_(", ").join([counted, *parts])
            )
        )
