"""Runs the application under uvicorn, and ends it without losing a request."""

import asyncio
import errno
import logging
import math
import os
import resource
import signal
import socket
import sys
import threading
import time
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from model.errors import ConfigError
from service.app import create_app
from service.edge.hosts import ANY, Hosts, is_loopback
from service.metrics import DIRECTORY_VARIABLE, empty_directory
from service.process.logs import configure_logging
from service.process.probes import MAX_PROBE_CONNECTIONS, ProbeServer, ProbeTarget
from service.process.protocol import Connections, HttpProtocol
from service.settings import Settings, unknown_variables
from service.state import Service

logger = logging.getLogger(__name__)

# Those that a process has open beside its connections, with much to spare.
_RESERVED_DESCRIPTORS = 128
# Connections that the system holds until they are taken, and those taken in one turn of the event
# loop, which asyncio has one number for: a flood of connections is not to come before all else.
_LISTEN_BACKLOG = 2048
_ACCEPTS_PER_TURN = 64
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ListeningSocket(socket.socket):
    """Gives asyncio a rest once there are no more descriptors for connections.

    asyncio then stops accepting for a second, but not before it has tried as often as the backlog
    is long, with a line in the log and a timer for each time: thousands a second, on which the
    event loop would spend itself. Nothing more to accept, as it is told instead, ends that at once.
    """

    _exhausted = False

    def accept(self) -> tuple[socket.socket, Any]:
        """See ``socket.socket.accept``."""
        if self._exhausted:
            self._exhausted = False
            raise BlockingIOError
        try:
            return super().accept()
        except OSError as error:
            self._exhausted = error.errno in _OUT_OF_DESCRIPTORS
            raise


class Server(uvicorn.Server):
    """A server that a signal drains and whose exit code is then 0.

    uvicorn would raise the signal again after shutting down, which ends the process with the
    signal's code and looks like a crash to whoever watches it.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._closes_at = math.inf
        self._exit_timer = threading.Timer(0, _force_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not ready at once, closing after ``drain_seconds``; a second signal ends the wait.

        Whatever still hangs when ``shutdown_seconds`` more have passed ends with the process.
        """
        seconds = 0.0 if self._service.draining else self._service.settings.drain_seconds
        self._service.draining = True
        logger.info("shutting down in %g s", seconds)
        self._closes_at = time.monotonic() + seconds
        self._exit_timer.cancel()
        self._exit_timer = threading.Timer(
            seconds + shutdown_seconds(self._service.settings), _force_exit
        )
        self._exit_timer.daemon = True
        self._exit_timer.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and has two things done by the system that the event loop cannot.

        SIGHUP loads the models again; who takes nothing of an answer for long is cut off.
        """
        # First: what comes once the loading has begun may ask for what it has not seen.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        await super().startup(
            [ListeningSocket(fileno=listening.detach()) for listening in sockets or ()]
        )
        for server in self.servers:
            for listening in server.sockets:
                with socket.fromfd(listening.fileno(), listening.family, listening.type) as queue:
                    queue.listen(_LISTEN_BACKLOG)
        if sys.platform == "linux":
            milliseconds = int(self._service.settings.stream_idle_seconds * 1000)
            for server in self.servers:
                for listening in server.sockets:  # which hand it down to their connections
                    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what is in flight; of a stream, what it has sent so far."""
        self._service.end_streams()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to begin closing."""
        if counter % 10 == 0:
            self._service.tick()
        if time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)


def shutdown_seconds(settings: Settings) -> float:
    """How long a process may take to end once it no longer waits for a balancer."""
    return math.ceil(settings.deadline_seconds) + 1


def _force_exit() -> None:
    logger.warning("the process ends with work that does not")
    logging.shutdown()
    os._exit(0)


def build_server(settings: Settings, service: Service) -> Server:
    """A server of the whole application, not yet running."""
    connections = Connections(raise_descriptor_limit(settings), settings.deadline_seconds)
    config = uvicorn.Config(
        create_app(settings, service, _hosts(settings)),
        # uvloop is no faster here, and under overload it lets some connections wait for seconds
        # while others are answered: docs/performance.md.
        loop="asyncio",
        http=partial(HttpProtocol, connections),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        backlog=_ACCEPTS_PER_TURN,
        timeout_keep_alive=settings.keep_alive_seconds,
        # What is in flight has an answer or a 504 by then; what is left is a stalled client.
        timeout_graceful_shutdown=math.ceil(settings.deadline_seconds),
        root_path=settings.root_path,
        server_header=False,
        ws="none",
    )
    return Server(config, service)


def raise_descriptor_limit(settings: Settings) -> int:
    """As many as the settings say, or the fewer that the system has files for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _RESERVED_DESCRIPTORS + (MAX_PROBE_CONNECTIONS if settings.probe_port else 0)
    wanted = settings.max_connections + others
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    most = max(1, files - others)
    if files < wanted:
        logger.warning("connections are limited to %d: the system allows %d files", most, files)
    return most


def prepare_process(settings: Settings) -> None:
    """What comes before anything is served, in the process that starts it all.

    Raises:
        ConfigError: the directory for metrics cannot be written.
    """
    configure_logging(settings.log_level)
    if not settings.api_keys_file and not is_loopback(settings.host):
        logger.warning(
            "whoever reaches %s is answered: SENTIMENT_API_KEYS_FILE would ask for keys",
            settings.host,
        )
    for name in unknown_variables():
        logger.warning("%s is no setting and changes nothing", name)
    try:
        empty_directory()
    except OSError as error:
        raise ConfigError(
            f"{DIRECTORY_VARIABLE}, {error.filename}, cannot be written: {error.strerror}; name "
            "another directory"
        ) from None


def listen(settings: Settings) -> socket.socket:
    """The socket that connections come in by; they wait there until they are accepted.

    Raises:
        ConfigError: the port cannot be had.
    """
    try:
        return listening_socket(settings.host, settings.port)
    except OSError as error:
        raise ConfigError(
            f"SENTIMENT_HOST and SENTIMENT_PORT, {settings.host}:{settings.port}, cannot be "
            f"listened on: {error.strerror}; name others"
        ) from None


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that connections wait at; port 0 takes a free one.

    Raises:
        OSError: the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(_LISTEN_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def socket_address(listening: socket.socket) -> str:
    """Host and port, as in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hosts(settings: Settings) -> Hosts:
    """The names of the service: without a setting any, where it is not for this machine alone."""
    return Hosts(settings.allowed_hosts or (() if is_loopback(settings.host) else (ANY,)))


def serve(settings: Settings) -> None:
    """Serves in this process until a signal ends it.

    Raises:
        ConfigError: a port cannot be had.
    """
    prepare_process(settings)
    service = Service(settings)
    probes = probe_server(settings, service)
    listening = listen(settings)
    logger.info("Service running on http://%s", socket_address(listening))
    build_server(settings, service).run(sockets=[listening])
    if probes:
        probes.close()


def probe_server(settings: Settings, probed: ProbeTarget) -> ProbeServer | None:
    """The probes on a port of their own, if the settings name one.

    Raises:
        ConfigError: the port cannot be had.
    """
    if not settings.probe_port:
        return None
    try:
        listening = listening_socket(settings.host, settings.probe_port)
    except OSError as error:
        raise ConfigError(
            f"SENTIMENT_PROBE_PORT {settings.probe_port} cannot be listened on: "
            f"{error.strerror}; name another"
        ) from None
    return ProbeServer(probed, ListeningSocket(fileno=listening.detach()), _hosts(settings))
