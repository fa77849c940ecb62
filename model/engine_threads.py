"""Threads that run the engine, each one batch of windows at a time."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

# No run takes this long: it reads a handful of windows.
HANG_SECONDS = 30.0

Run = TypeVar("Run")
Result = TypeVar("Result")


class EngineThreads(Generic[Run, Result]):
    """Threads that each take a run, perform it, and deliver its result.

    What waits, and which of it runs next, is the owner's to know: ``take`` is asked whenever a
    thread is free. The owner holds ``changed`` while it reads or changes what waits, and notifies
    it of new work.
    """

    def __init__(
        self,
        count: int,
        take: Callable[[], Run | None],
        perform: Callable[[Run], Result],
        deliver: Callable[[Run, Result | Exception, float, float], None],
        *,
        low_priority: bool = False,
    ) -> None:
        """Start the threads.

        Args:
            count: how many runs are performed at a time.
            take: returns the next run, or nothing (anything false) if none waits. It is called
                with ``changed`` held.
            perform: performs a run.
            deliver: gets a run, its result or what it raised, and when it started and ended, by
                ``time.perf_counter``. It is called in the thread that performed the run.
            low_priority: let other threads go first where processors are short.

        Raises:
            RuntimeError: the system allows no further thread.
        """
        self.changed = threading.Condition()
        self._take = take
        self._perform = perform
        self._deliver = deliver
        self._low_priority = low_priority
        self._running: dict[int, float] = {}  # when each thread's run started
        self._closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"inference-{number}", daemon=True)
            for number in range(count)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:  # the system allows no further thread
            self.stop()
            raise

    @property
    def busy(self) -> bool:
        """Whether a run is in progress."""
        return bool(self._running)

    @property
    def hangs(self) -> bool:
        """Whether a run has taken so long that it will never end."""
        now = time.monotonic()
        return any(now - started > HANG_SECONDS for started in list(self._running.values()))

    def stop(self) -> None:
        """Take no further run; those in progress end."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the threads have ended, or for ``timeout`` seconds."""
        ends = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads:
            thread.join(None if ends is None else max(0.0, ends - time.monotonic()))

    def _serve(self) -> None:
        if self._low_priority:
            lower_priority()
        thread = threading.get_ident()
        while run := self._next(thread):
            started = time.perf_counter()
            result: Result | Exception
            try:
                result = self._perform(run)
            except Exception as error:
                result = error
            ended = time.perf_counter()
            del self._running[thread]
            self._deliver(run, result, started, ended)

    def _next(self, thread: int) -> Run | None:
        with self.changed:
            while not self._closed:
                if run := self._take():
                    self._running[thread] = time.monotonic()
                    return run
                self.changed.wait()
        return None


def lower_priority() -> None:
    """Let the event loop and the probes go before the current thread."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # a sandbox may refuse, and a process be lower already
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
