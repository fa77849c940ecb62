"""``/livez``, ``/readyz`` and ``/metrics`` from a thread and a port of their own.

The event loop answers a probe in its turn, behind every request that came before. Under overload
that takes long, and whoever watches must not mistake busy for dead. So another loop answers, by the
same rules of HTTP and with connections of its own.
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
from service.process.protocol import Connections, HttpProtocol
from service.schemas import Alive, Health
from service.state import READY

logger = logging.getLogger(__name__)

# Whoever watches needs few, and each for a moment: beyond it the longest idle one is closed.
MAX_PROBE_CONNECTIONS: Final = 128
# Taken in one turn of the loop: too few to push out one that has not been read yet.
_ACCEPTS_PER_TURN = 16
_LISTEN_BACKLOG = 2048
_HEAD_SECONDS = 5.0
_KEEP_ALIVE_SECONDS = 75  # longer than between two scrapes

_HANGS = "the event loop or an inference hangs"
_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
_HEADERS = [*SECURITY_HEADERS, NO_STORE]
_ALLOW = allow_header({"GET"})


class ProbeTarget(Protocol):
    """What probes ask about: the service of a process, or several worker processes."""

    @property
    def hangs(self) -> bool:
        """Whether it has stopped for so long that it never will go on."""
        ...

    def health(self) -> Health:
        """The status with its reason."""
        ...

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The metrics in the format that ``accept`` asks for, and its type."""
        ...


class ProbeServer:
    """Answers probes until it is closed."""

    def __init__(self, probed: ProbeTarget, listening: socket.socket, hosts: Hosts) -> None:
        """Takes over a socket that connections wait at."""
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
        # One scrape at a time, which keeps no probe waiting.
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
        server = await loop.create_server(
            partial(config.http_protocol_class, config=config, server_state=state, app_state={}),  # type: ignore[call-arg]
            sock=listening,
            backlog=_ACCEPTS_PER_TURN,
        )
        listening.listen(_LISTEN_BACKLOG)
        await asyncio.wrap_future(self._ended)
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()

    def close(self) -> None:
        """Stops listening."""
        self._ended.set_result(None)
        self._thread.join()


class _ProbeApp:
    """The application of the port."""

    def __init__(self, probed: ProbeTarget, hosts: Hosts) -> None:
        self._probed = probed
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification. Probes are not logged: they come every few seconds."""
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
        if "expect" in request.headers:  # or the next request would be read as the body
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
            raise UnknownPathError("this port has only /livez, /readyz and /metrics")
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
