"""Several worker processes on one listening socket, supervised by the process that starts them."""

import fcntl
import logging
import math
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from ctypes import c_bool, c_double
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from types import FrameType

from model import ConfigError
from model.engine_threads import HANG_SECONDS
from service.process.logs import configure_logging
from service.process.runtime import exclude_from_collection
from service.process.server import (
    announce,
    build_server,
    listen,
    prepare_process,
    probe_server,
    shutdown_seconds,
    socket_address,
)
from service.schemas import Health
from service.settings import Settings
from service.state import Service
from service.worker_metrics import (
    DIRECTORY_VARIABLE,
    expose_workers,
    reserve_files,
    worker_ended,
)

logger = logging.getLogger(__name__)

# Pause before a worker is replaced, so that one that fails at once is not restarted in a busy loop.
_RESTART_SECONDS = 1.0
_START_SECONDS = 120.0
# Heartbeats come every second; a worker without one for this long does not count as ready.
_STALE_AFTER_SECONDS = 5.0

_DIRECTORY_PREFIX = "sentiment-metrics-"

_spawning = multiprocessing.get_context("spawn")


class SharedHeartbeat:
    """A worker's heartbeat, in memory shared with the supervisor."""

    def __init__(self) -> None:
        # Imports and loading take longer than any turn of the event loop.
        self._recorded = RawValue(c_double, time.monotonic() + _START_SECONDS)
        self._ready = RawValue(c_bool, False)

    def record(self, *, ready: bool) -> None:
        """See ``Heartbeat.record``."""
        self._recorded.value = time.monotonic()
        self._ready.value = ready

    @property
    def ready(self) -> bool:
        """Whether the worker accepts requests, by a recent heartbeat."""
        return (
            bool(self._ready.value)
            and time.monotonic() - self._recorded.value < _STALE_AFTER_SECONDS
        )

    @property
    def stopped(self) -> bool:
        """Whether the last heartbeat is so old that the worker must hang."""
        return bool(time.monotonic() - self._recorded.value > HANG_SECONDS)


class Supervisor:
    """Starts the workers, replaces those that exit or hang, and forwards signals to them."""

    # The supervisor does nothing that could hang; workers that hang are replaced.
    hangs = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = listen(settings)
        self._workers: dict[SpawnProcess, SharedHeartbeat] = {}
        self._draining = False
        self._ends_at = math.inf

    @property
    def address(self) -> str:
        """Host and port that the workers listen on."""
        return socket_address(self._socket)

    def health(self) -> Health:
        """Return ready while at least one worker is."""
        ready = sum(heartbeat.ready for heartbeat in list(self._workers.values()))
        if self._draining:
            return Health(status="draining", detail="the service is shutting down")
        if not ready:
            return Health(status="loading", detail="no worker accepts requests")
        detail = f"{ready} of {self._settings.workers} workers accept requests"
        return Health(status="ready", detail=detail)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics of all workers; see ``Metrics.expose``."""
        return expose_workers(accept)

    def run(self) -> None:
        """Serve until a signal ends it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward_stop)
        signal.signal(signal.SIGHUP, self._forward_reload)
        probes = probe_server(self._settings, self)
        announce("Workers", self.address, self._settings)
        self._start_missing()
        stopped: set[SpawnProcess] = set()
        while self._workers or not self._draining:
            wait([worker.sentinel for worker in self._workers], timeout=1.0)
            if self._draining:  # or the kernel would keep queueing connections nobody accepts
                self._socket.close()
            # Twice in a row, since a machine that was suspended stopped all of them at once.
            before = stopped
            stopped = {w for w, heartbeat in self._workers.items() if heartbeat.stopped}
            for worker in list(self._workers):
                hangs = worker in before & stopped and not self._draining
                if worker.is_alive() and (hangs or time.monotonic() > self._ends_at):
                    logger.error("worker %d does not respond; killing it", worker.pid)
                    worker.kill()
                    worker.join()
                if not worker.is_alive():
                    self._reap(worker)
            self._start_missing()
        if probes:
            probes.close()

    def _start_missing(self) -> None:
        """Start missing workers; if the system cannot, the next round tries again."""
        while not self._draining and len(self._workers) < self._settings.workers:
            try:
                self._start()
            except OSError as error:
                logger.error("cannot start a worker: %s; trying again", error.strerror)
                return

    def _start(self) -> None:
        heartbeat = SharedHeartbeat()
        worker = _spawning.Process(
            target=_run_worker, args=(self._settings, self._socket, heartbeat)
        )
        # The worker inherits the mask: a SIGHUP while it imports waits instead of killing it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker.start()
            self._workers[worker] = heartbeat
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        if self._draining:  # a signal arrived before the worker was registered
            worker.terminate()

    def _reap(self, worker: SpawnProcess) -> None:
        assert worker.pid is not None
        del self._workers[worker]
        worker_ended(worker.pid)
        if not self._draining:
            logger.error("worker %d exited with code %s; replacing it", worker.pid, worker.exitcode)
            time.sleep(_RESTART_SECONDS)

    def _forward_stop(self, number: int, frame: FrameType | None) -> None:
        seconds = 0.0 if self._draining else self._settings.drain_seconds
        # Healthy workers exit before this.
        self._ends_at = time.monotonic() + seconds + shutdown_seconds(self._settings) + 0.5
        self._draining = True
        for worker in self._workers:
            worker.terminate()

    def _forward_reload(self, number: int, frame: FrameType | None) -> None:
        for worker in self._workers:
            if worker.pid is not None:
                with suppress(ProcessLookupError):  # it has just exited
                    os.kill(worker.pid, signal.SIGHUP)


def supervise(settings: Settings) -> None:
    """Serve in several worker processes until a signal ends them.

    Raises:
        ConfigError: a port is not available, or no metrics directory can be written.
    """
    directory = None
    if DIRECTORY_VARIABLE not in os.environ:
        try:
            directory, _ = _metrics_directory()
        except OSError as error:
            raise ConfigError(
                f"cannot create the directory in which workers share metrics: {error.strerror}; "
                f"set TMPDIR or {DIRECTORY_VARIABLE} to a writable directory"
            ) from None
        os.environ[DIRECTORY_VARIABLE] = directory
    prepare_process(settings)
    try:
        Supervisor(settings).run()
    finally:
        if directory:
            shutil.rmtree(directory, ignore_errors=True)


def _metrics_directory() -> tuple[str, int | None]:
    """Create a metrics directory and lock it for the lifetime of this process.

    Also removes those of killed processes, which nobody locks any more.

    Returns:
        The directory, and the descriptor that holds the lock (None where locks are unsupported).
    """
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_DIRECTORY_PREFIX}*"):
        with suppress(OSError):  # another process holds the lock, or it is no directory
            descriptor = _lock_directory(left)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)
    made = Path(tempfile.mkdtemp(prefix=f".{_DIRECTORY_PREFIX}"))
    kept = None
    with suppress(OSError):  # no locks on this file system: directories are never cleaned up
        kept = _lock_directory(made)
    # Only now, with the lock held, rename it to what other processes look for.
    return str(made.rename(parent / made.name.removeprefix("."))), kept


def _lock_directory(directory: Path) -> int:
    """Lock a directory until the returned descriptor is closed or the process ends.

    Raises:
        OSError: another process holds the lock, or it is not a directory.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _run_worker(settings: Settings, listening: socket.socket, heartbeat: SharedHeartbeat) -> None:
    """Serve in a worker process."""
    # A terminal signals its whole process group; the supervisor forwards the signal once.
    os.setpgrp()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are models to reload
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    threading.Thread(target=_exit_with_supervisor, daemon=True).start()
    configure_logging(settings.log_level, settings.log_format)
    try:
        reserve_files(os.getpid())
    except OSError as error:
        logger.error(
            "no room for a worker's metrics in %s: %s; free some space there",
            os.environ[DIRECTORY_VARIABLE],
            error.strerror,
        )
        sys.exit(1)
    service = Service(settings, heartbeat=heartbeat, after_load=exclude_from_collection)
    build_server(settings, service).run(sockets=[listening])


def _exit_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
