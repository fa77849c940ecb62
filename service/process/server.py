"""Run the application under uvicorn, and shut it down without losing a request."""

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
from gettext import dgettext
from types import FrameType

import uvicorn

from model import ConfigError
from service.app import create_app, quick_refusal
from service.edge.hosts import ANY, Hosts, is_loopback
from service.edge.quick_refusal import QuickRefusal
from service.process.acceptor import Acceptor
from service.process.logs import configure_logging, logs_text
from service.process.probes import MAX_PROBE_CONNECTIONS, ProbeServer, ProbeTarget
from service.process.protocol import Connections, HttpProtocol
from service.process.runtime import exclude_from_collection
from service.settings import Settings, unknown_variables
from service.state import Service
from service.worker_metrics import DIRECTORY_VARIABLE, empty_directory

logger = logging.getLogger(__name__)

# File descriptors for everything but client connections, with plenty to spare.
_RESERVED_DESCRIPTORS = 128
# The system queues this many new connections.
_LISTEN_BACKLOG = 2048
# Few enough that a flood of connections does not hold up everything else.
_ACCEPTS_PER_TURN = 64


class Server(uvicorn.Server):
    """A server that drains on a signal and then exits with code 0.

    uvicorn would raise the signal again after shutting down, which ends the process with the
    signal's exit code and looks like a crash to an orchestrator.
    """

    def __init__(self, config: uvicorn.Config, service: Service, refusal: QuickRefusal) -> None:
        super().__init__(config)
        self._service = service
        self._refusal = refusal
        self._acceptors: list[Acceptor] = []
        self._closes_at = math.inf
        self._exit_timer = threading.Timer(0, _force_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn unready at once and close after ``drain_seconds``; a second signal skips the wait.

        Work that still hangs ``shutdown_seconds`` later is abandoned with the process.
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
        """Listen, reload the models on SIGHUP, and disconnect clients that stop reading.

        The last is done by the kernel, since the event loop does not see whether sent bytes arrive.
        """
        # Install the handler first, so that a SIGHUP during loading triggers another reload.
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGHUP, self._service.models.reload_soon
        )
        await super().startup([])
        protocol = partial(
            self.config.http_protocol_class,
            config=self.config,
            server_state=self.server_state,  # type: ignore[call-arg]
            app_state=self.lifespan.state,
        )
        milliseconds = int(self._service.settings.stream_idle_seconds * 1000)
        for listening in sockets or ():
            if sys.platform == "linux":  # accepted connections inherit it
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            self._acceptors.append(Acceptor(listening, protocol, _ACCEPTS_PER_TURN))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests in flight, and of each stream the lines received so far."""
        self._service.streams.end()
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown()
        self._refusal.tell()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to start closing; uvicorn asks ten times per second."""
        self._service.models.pace.look()
        if counter % 10 == 0:
            self._service.tick()
            self._refusal.tell()
        if time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)


def shutdown_seconds(settings: Settings) -> float:
    """Return how long a process may take to exit after draining, in seconds."""
    return math.ceil(settings.deadline_seconds) + 1


def _force_exit() -> None:
    logger.warning("work in flight did not finish in time; exiting without it")
    logging.shutdown()
    os._exit(0)


def build_server(settings: Settings, service: Service) -> Server:
    """Return a server for the whole application, not yet running."""
    refusal = quick_refusal(service)
    connections = Connections(raise_descriptor_limit(settings), settings.deadline_seconds, refusal)
    config = uvicorn.Config(
        create_app(settings, service, _hosts(settings)),
        loop="uvloop",
        http=partial(HttpProtocol, connections),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=settings.keep_alive_seconds,
        # By then every request has an answer or a 504; what remains are stalled clients.
        timeout_graceful_shutdown=math.ceil(settings.deadline_seconds),
        root_path=settings.root_path,
        server_header=False,
        ws="none",
    )
    return Server(config, service, refusal)


def raise_descriptor_limit(settings: Settings) -> int:
    """Raise the limit of open files to fit ``max_connections``.

    Returns:
        The maximum number of connections: the setting, or fewer if the system allows fewer files.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _RESERVED_DESCRIPTORS + (MAX_PROBE_CONNECTIONS if settings.probe_port else 0)
    wanted = settings.max_connections + others
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    most = max(1, files - others)
    if files < wanted:
        logger.warning(
            "connections are limited to %d, since the system allows %d open files; raise ulimit -n",
            most,
            files,
        )
    return most


def prepare_process(settings: Settings) -> None:
    """Set up logging and metrics, and warn of settings that look wrong.

    Called once, in the first process, before anything is served.

    Raises:
        ConfigError: the metrics directory cannot be written.
    """
    configure_logging(settings.log_level, settings.log_format)
    if not settings.api_keys_file and not is_loopback(settings.host):
        logger.warning(
            "listening on %s without authentication; set SENTIMENT_API_KEYS_FILE to require API "
            "keys",
            settings.host,
        )
    for name in unknown_variables():
        logger.warning("ignoring unknown setting %s", name)
    try:
        empty_directory()
    except OSError as error:
        raise ConfigError(
            f"{DIRECTORY_VARIABLE}, {error.filename}, cannot be written: {error.strerror}; set it "
            "to a writable directory"
        ) from None


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        ConfigError: the address or the port is not available.
    """
    try:
        return listening_socket(settings.host, settings.port)
    except OSError as error:
        raise _not_available(settings.host, settings.port, "SENTIMENT_PORT", error) from None


def _not_available(host: str, port: int, setting: str, error: OSError) -> ConfigError:
    """Return what to tell the one who starts the service, in that person's language."""
    if error.errno == errno.EADDRINUSE:
        told = dgettext(
            "sentiment",
            "port {port} of {host} is in use; stop the program that uses it, or choose another by "
            "{setting}",
        )
    else:
        told = dgettext(
            "sentiment",
            "{host} cannot be used with {setting} {port}: {reason}; choose another address or port",
        )
    return ConfigError(told.format(port=port, host=host, setting=setting, reason=error.strerror))


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one.

    Raises:
        OSError: the address or the port is not available.
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
    """Return host and port as in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def announce(what: str, address: str, settings: Settings) -> None:
    """Log where the service listens; on a terminal, as what to open in a browser."""
    if logs_text(settings.log_format):
        for everywhere, here in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):
            address = address.replace(everywhere, here)
        logger.info("Open http://%s (Ctrl-C stops the service)", address)
    else:
        logger.info("%s running on http://%s", what, address)


def _hosts(settings: Settings) -> Hosts:
    """Return the accepted host names: by default any, unless the service is on loopback only."""
    return Hosts(settings.allowed_hosts or (() if is_loopback(settings.host) else (ANY,)))


def serve(settings: Settings) -> None:
    """Serve in this process until a signal ends it.

    Raises:
        ConfigError: a port is not available, or the metrics directory cannot be written.
    """
    prepare_process(settings)
    service = Service(settings, after_load=exclude_from_collection)
    probes = probe_server(settings, service)
    listening = listen(settings)
    announce("Service", socket_address(listening), settings)
    build_server(settings, service).run(sockets=[listening])
    if probes:
        probes.close()


def probe_server(settings: Settings, probed: ProbeTarget) -> ProbeServer | None:
    """Start answering probes on the probe port, if the settings name one.

    Raises:
        ConfigError: the port is not available.
    """
    if not settings.probe_port:
        return None
    try:
        listening = listening_socket(settings.host, settings.probe_port)
    except OSError as error:
        raise _not_available(
            settings.host, settings.probe_port, "SENTIMENT_PROBE_PORT", error
        ) from None
    return ProbeServer(probed, listening, _hosts(settings))
