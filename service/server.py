"""Runs the application under uvicorn, and ends it without losing a request."""

import asyncio
import logging
import math
import signal
import socket
import sys
import time
from types import FrameType

import uvicorn

from model.errors import ConfigError
from service.app import create_app
from service.logs import configure_logging
from service.metrics import empty_directory
from service.probes import Probed, ProbeServer
from service.protocol import HttpProtocol
from service.settings import Settings, unknown_variables
from service.state import Service

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A server that a signal drains and whose exit code is then 0.

    uvicorn would raise the signal again after shutting down, which ends the process with the
    signal's code and looks like a crash to whoever watches it.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._closes_at = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not ready at once, closing after ``drain_seconds``; a second signal ends the wait."""
        seconds = 0.0 if self._service.draining else self._service.settings.drain_seconds
        self._service.draining = True
        logger.info("shutting down in %g s", seconds)
        self._closes_at = time.monotonic() + seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and has two things done by the system that the event loop cannot.

        SIGHUP loads the models again; who takes nothing of an answer for long is cut off.
        """
        # First: what comes once the loading has begun may ask for what it has not seen.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._service.reload_soon)
        await super().startup(sockets)
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


def server(settings: Settings, service: Service) -> Server:
    """A server of the whole application, not yet running."""
    config = uvicorn.Config(
        create_app(settings, service),
        host=settings.host,
        port=settings.port,
        # uvloop is no faster here, and under overload it lets some connections wait for seconds
        # while others are answered: docs/performance.md.
        loop="asyncio",
        http=HttpProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=settings.keep_alive_seconds,
        # What is in flight has an answer or a 504 by then; what is left is a stalled client.
        timeout_graceful_shutdown=math.ceil(settings.deadline_seconds) + 1,
        root_path=settings.root_path,
        server_header=False,
        ws="none",
    )
    return Server(config, service)


def begin(settings: Settings) -> None:
    """What comes before anything is served, in the process that starts it all."""
    configure_logging(settings.log_level)
    for name in unknown_variables():
        logger.warning("%s is no setting and changes nothing", name)
    empty_directory()


def serve(settings: Settings) -> None:
    """Serves in this process until a signal ends it."""
    begin(settings)
    service = Service(settings)
    probes = probe_server(settings, service)
    server(settings, service).run()
    if probes:
        probes.close()


def probe_server(settings: Settings, probed: Probed) -> ProbeServer | None:
    """The probes on a port of their own, if the settings name one.

    Raises:
        ConfigError: the port cannot be had.
    """
    if not settings.probe_port:
        return None
    try:
        return ProbeServer(probed, settings.host, settings.probe_port)
    except OSError as error:
        raise ConfigError(
            f"SENTIMENT_PROBE_PORT {settings.probe_port} cannot be listened on: "
            f"{error.strerror}; name another"
        ) from None
