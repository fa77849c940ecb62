"""Several worker processes on one listening socket, watched by the process that starts them."""

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

from model.errors import ConfigError
from service.inference.batcher import HANG_SECONDS
from service.metrics import DIRECTORY_VARIABLE, expose_workers, reserve_files, worker_ended
from service.process.logs import configure_logging
from service.process.server import (
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

logger = logging.getLogger(__name__)

# A worker that ends at once would otherwise be started again and again without a pause.
_RESTART_SECONDS = 1.0
_START_SECONDS = 120.0
# Heartbeats come every second; after so many without one nothing is said of a worker any more.
_STALE_AFTER_SECONDS = 5.0

_DIRECTORY_PREFIX = "sentiment-metrics-"

_spawning = multiprocessing.get_context("spawn")


class SharedHeartbeat:
    """What a worker tells of itself, in memory that it shares with the supervisor."""

    def __init__(self) -> None:
        # Starting may take longer than a turn of the event loop does.
        self._recorded = RawValue(c_double, time.monotonic() + _START_SECONDS)
        self._ready = RawValue(c_bool, False)

    def record(self, *, ready: bool) -> None:
        """See ``Heartbeat.record``."""
        self._recorded.value = time.monotonic()
        self._ready.value = ready

    @property
    def ready(self) -> bool:
        """Whether the worker took requests when it was last heard of."""
        return (
            bool(self._ready.value)
            and time.monotonic() - self._recorded.value < _STALE_AFTER_SECONDS
        )

    @property
    def stopped(self) -> bool:
        """Whether nothing has been heard for so long that nothing ever will be."""
        return bool(time.monotonic() - self._recorded.value > HANG_SECONDS)


class Supervisor:
    """Starts the workers, starts anew those that end or hang, and passes signals on to them."""

    # It does nothing that could hang; a worker that does is started anew.
    hangs = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = listen(settings)
        self._workers: dict[SpawnProcess, SharedHeartbeat] = {}
        self._draining = False
        self._ends_at = math.inf

    @property
    def address(self) -> str:
        """Where the workers listen."""
        return socket_address(self._socket)

    def health(self) -> Health:
        """Ready while at least one worker is."""
        ready = sum(heartbeat.ready for heartbeat in list(self._workers.values()))
        if self._draining:
            return Health(status="draining", detail="the service is shutting down")
        if not ready:
            return Health(status="loading", detail="no worker takes requests")
        detail = f"{ready} of {self._settings.workers} workers take requests"
        return Health(status="ready", detail=detail)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The metrics of all workers; see ``Metrics.expose``."""
        return expose_workers(accept)

    def run(self) -> None:
        """Serves until a signal ends it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._forward_stop)
        signal.signal(signal.SIGHUP, self._forward_reload)
        probes = probe_server(self._settings, self)
        logger.info("Workers running on http://%s", self.address)
        self._start_missing()
        stopped: set[SpawnProcess] = set()
        while self._workers or not self._draining:
            wait([worker.sentinel for worker in self._workers], timeout=1.0)
            if self._draining:  # or the backlog would go on filling with what nobody reads
                self._socket.close()
            # Twice in a row: a machine that was frozen as a whole has stopped nobody.
            before = stopped
            stopped = {w for w, heartbeat in self._workers.items() if heartbeat.stopped}
            for worker in list(self._workers):
                hangs = worker in before & stopped and not self._draining
                if worker.is_alive() and (hangs or time.monotonic() > self._ends_at):
                    logger.error("worker %d hangs and is killed", worker.pid)
                    worker.kill()
                    worker.join()
                if not worker.is_alive():
                    self._reap(worker)
            self._start_missing()
        if probes:
            probes.close()

    def _start_missing(self) -> None:
        """Starts the workers that are missing; what the system refuses now is tried again soon."""
        while not self._draining and len(self._workers) < self._settings.workers:
            try:
                self._start()
            except OSError as error:
                logger.error("a worker cannot be started: %s", error.strerror)
                return

    def _start(self) -> None:
        heartbeat = SharedHeartbeat()
        worker = _spawning.Process(
            target=_run_worker, args=(self._settings, self._socket, heartbeat)
        )
        # It inherits the mask: while it imports, SIGHUP waits and does not end it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            worker.start()
            self._workers[worker] = heartbeat
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        if self._draining:  # a signal came before the worker was known
            worker.terminate()

    def _reap(self, worker: SpawnProcess) -> None:
        assert worker.pid is not None
        del self._workers[worker]
        worker_ended(worker.pid)
        if not self._draining:
            logger.error("worker %d ended with code %s", worker.pid, worker.exitcode)
            time.sleep(_RESTART_SECONDS)

    def _forward_stop(self, number: int, frame: FrameType | None) -> None:
        seconds = 0.0 if self._draining else self._settings.drain_seconds
        # A worker that can still do so ends by itself before.
        self._ends_at = time.monotonic() + seconds + shutdown_seconds(self._settings) + 0.5
        self._draining = True
        for worker in self._workers:
            worker.terminate()

    def _forward_reload(self, number: int, frame: FrameType | None) -> None:
        for worker in self._workers:
            if worker.pid is not None:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(worker.pid, signal.SIGHUP)


def supervise(settings: Settings) -> None:
    """Serves in several worker processes until a signal ends them.

    Raises:
        ConfigError: a port, or the directory for metrics, cannot be had.
    """
    directory = None
    if DIRECTORY_VARIABLE not in os.environ:
        try:
            directory, _ = _metrics_directory()
        except OSError as error:
            raise ConfigError(
                f"several workers share a directory for their metrics, and none can be made: "
                f"{error.strerror}; let TMPDIR or {DIRECTORY_VARIABLE} name one that can be written"
            ) from None
        os.environ[DIRECTORY_VARIABLE] = directory
    prepare_process(settings)
    try:
        Supervisor(settings).run()
    finally:
        if directory:
            shutil.rmtree(directory, ignore_errors=True)


def _metrics_directory() -> tuple[str, int | None]:
    """A directory of this process's own, and the descriptor that keeps it.

    Those of processes that were killed, which nobody keeps any more, are removed.
    """
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_DIRECTORY_PREFIX}*"):
        with suppress(OSError):  # another keeps it, or it is nothing of ours
            descriptor = _lock_directory(left)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)
    made = Path(tempfile.mkdtemp(prefix=f".{_DIRECTORY_PREFIX}"))
    kept = None
    with suppress(OSError):  # a file system without locks, where none is ever removed
        kept = _lock_directory(made)
    # Under a name that others look for, now that it is kept.
    return str(made.rename(parent / made.name.removeprefix("."))), kept


def _lock_directory(directory: Path) -> int:
    """Locks a directory, for as long as the descriptor is open or the process lives.

    Raises:
        OSError: another keeps it, or it is no directory.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _run_worker(settings: Settings, listening: socket.socket, heartbeat: SharedHeartbeat) -> None:
    """What a worker process does."""
    # A terminal signals its whole group; the supervisor passes it on once.
    os.setpgrp()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to load anew
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    threading.Thread(target=_exit_with_supervisor, daemon=True).start()
    configure_logging(settings.log_level)
    try:
        reserve_files(os.getpid())
    except OSError as error:
        logger.error(
            "%s has no room for a worker's metrics: %s",
            os.environ[DIRECTORY_VARIABLE],
            error.strerror,
        )
        sys.exit(1)
    service = Service(settings, heartbeat=heartbeat)
    build_server(settings, service).run(sockets=[listening])


def _exit_with_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
