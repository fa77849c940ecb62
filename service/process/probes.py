"""``/livez``, ``/readyz`` and ``/metrics`` on a port and in a thread of their own.

The service's event loop answers a probe in turn, after every request that arrived before. Under
overload that takes long, and an orchestrator must not mistake busy for dead. So a second loop
answers, by the same HTTP rules and with its own connections.
"""

import asyncio
import logging
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Thread
from typing import Final, Protocol

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from service.edge.hosts import Hosts
from service.errors import (
    InternalError,
    MethodNotAllowedError,
    NotReadyError,
    ServiceError,
    UnknownPathError,
)
from service.headers import CLOSE, NO_STORE, SECURITY_HEADERS, allow_header
from service.problems import problem_of, problem_response
from service.process.acceptor import Acceptor
from service.process.protocol import Connections, HttpProtocol
from service.schemas import Alive, Health
from service.state import READY

logger = logging.getLogger(__name__)

# Monitors need few, each for a moment; beyond this the longest idle one is closed.
MAX_PROBE_CONNECTIONS: Final = 128
# Few enough that a flood cannot evict a connection before its request has been read.
_ACCEPTS_PER_TURN = 16
_HEAD_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 75  # longer than the interval of scrapes

_HANGS = "the event loop or an inference hangs"
_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
_HEADERS = [*SECURITY_HEADERS, NO_STORE]
_ALLOW = allow_header({"GET"})


class ProbeTarget(Protocol):
    """What probes ask about: the service of one process, or the supervisor of several workers."""

    @property
    def hangs(self) -> bool:
        """Whether it has been stuck for so long that it will not recover."""
        ...

    def health(self) -> Health:
        """Return the status and its reason."""
        ...

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format that ``accept`` prefers, and its media type."""
        ...


class ProbeServer:
    """Answers probes in a thread until it is closed."""

    def __init__(self, probed: ProbeTarget, listening: socket.socket, hosts: Hosts) -> None:
        """Take over a listening socket and start to answer."""
        self.port: int = listening.getsockname()[1]
        self._ended: Future[None] = Future()
        self._thread = Thread(
            target=asyncio.run,
            args=(self._serve(_ProbeApp(probed, hosts), listening),),
            name="probes",
            daemon=True,
        )
        self._thread.start()

    async def _serve(self, probes: "_ProbeApp", listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        # Scrapes run one at a time and off the loop, so they delay no probe.
        loop.set_default_executor(ThreadPoolExecutor(1, "scrapes"))
        config = uvicorn.Config(
            probes,
            http=partial(HttpProtocol, Connections(MAX_PROBE_CONNECTIONS, _HEAD_SECONDS)),  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ws="none",
        )
        config.load()
        state = ServerState()
        protocol = partial(
            config.http_protocol_class,
            config=config,
            server_state=state,  # type: ignore[call-arg]
            app_state={},
        )
        acceptor = Acceptor(listening, protocol, _ACCEPTS_PER_TURN)
        await asyncio.wrap_future(self._ended)
        acceptor.close()
        for connection in list(state.connections):
            connection.transport.abort()

    def close(self) -> None:
        """Stop listening and wait for the thread to end."""
        self._ended.set_result(None)
        self._thread.join()


class _ProbeApp:
    """The ASGI application of the probe port."""

    def __init__(self, probed: ProbeTarget, hosts: Hosts) -> None:
        self._probed = probed
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; probes are not logged, since they come every few seconds."""
        request = Request(scope)
        try:
            self._hosts.check(scope)
            response = await self._answer(request)
        except ServiceError as error:
            response = _problem(request, error)
        except Exception:
            logger.exception("unexpected error")
            response = _problem(request, InternalError())

        headers = list(_HEADERS)
        if "expect" in request.headers:  # the next request could be read as its missing body
            headers.append(CLOSE)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await response(scope, receive, send_with_headers)

    async def _answer(self, request: Request) -> Response:
        path, method = request.scope["path"], request.method
        if method == "OPTIONS" and (path in _PATHS or path in ("/", "*")):
            return Response(status_code=204, headers={"allow": _ALLOW})
        if path not in _PATHS:
            raise UnknownPathError("this port serves only /livez, /readyz and /metrics")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowedError(_ALLOW)
        if path == "/metrics":
            accept = request.headers.get("accept", "")
            content, media_type = await asyncio.to_thread(self._probed.expose, accept)
            return Response(content, headers={"content-type": media_type})
        if self._probed.hangs:
            raise NotReadyError(_HANGS)
        if path == "/livez":
            return _json(Alive())
        health = self._probed.health()
        if health.status not in READY:
            raise NotReadyError(health.detail)
        return _json(health)


def _json(body: Alive | Health) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")


def _problem(request: Request, error: ServiceError) -> Response:
    located = problem_of(error).model_copy(update={"instance": request.scope["path"]})
    return problem_response(located, error.headers)
