"""The outermost layer, in pure ASGI: it begins and ends the exchange of each request."""

import asyncio
import logging
import random
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.adapters import Adapter
from service.edge.paths import Paths
from service.error_handlers import internal_error_response
from service.exchange import Exchange, attach
from service.headers import CLOSE, NO_STORE
from service.state import Service

logger = logging.getLogger("service.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# https://www.w3.org/TR/trace-context/: version, trace, parent, flags
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-.{2,}")


class RequestLayer:
    """Gives each request an exchange with an id, and counts and logs it at its end.

    An ``X-Request-ID`` of the client is kept if it is short and plain, and replaced otherwise.
    HEAD is answered as GET without a body. The headers of every response are added here.
    """

    def __init__(
        self, app: ASGIApp, service: Service, paths: Paths, adapters: Sequence[Adapter] = ()
    ) -> None:
        """``adapters`` are those whose paths have a form of errors of their own."""
        self._app = app
        self._service = service
        self._paths = paths
        self._adapters = adapters
        self._ended: list[_Ended] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = self._begin(scope)
        scope = {**scope, "method": exchange.method}
        attach(exchange, scope)
        channel = _Channel(exchange, self._service, receive, send)
        try:
            # Most requests expect nothing, and receive without a step more.
            await self._app(
                scope, channel.receive if channel.expects_continue else receive, channel.send
            )
        except Exception:
            logger.exception(
                "unexpected error", extra={"fields": {"request_id": exchange.request_id}}
            )
            # The framework has responded with a 500, unless the error came before it was asked.
            if not channel.started:
                response = internal_error_response(Request(scope))
                await response(scope, receive, channel.send)
        finally:
            route = exchange.model_route or getattr(scope.get("route"), "path", None)
            self._record(_Ended(exchange, route, time.perf_counter() - started))

    def _begin(self, scope: Scope) -> Exchange:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        is_head = scope["method"] == "HEAD"
        method = "GET" if is_head else scope["method"]
        path = request_path(scope)
        return Exchange(
            request_id=request_id_of(given),
            method=method,
            is_head=is_head,
            path=path,
            headers=headers,
            peer=(scope.get("client") or ("",))[0],
            adapter=next((each for each in self._adapters if each.owns(path)), None),
            model_route=self._paths.model_route(path) if method == "POST" else None,
        )

    def _record(self, ended: "_Ended") -> None:
        """Count and log a request in the next step of the event loop.

        The response is on its way by then, and requests that ended together are told together.
        """
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._tell)
        self._ended.append(ended)

    def _tell(self) -> None:
        ended, self._ended = self._ended, []
        for each in ended:
            self._count(each)
            self._log(each)

    def _count(self, ended: "_Ended") -> None:
        exchange, metrics = ended.exchange, self._service.metrics
        metrics.observe_request(
            ended.route,
            exchange.status,
            ended.seconds,
            refusal=exchange.refusal if exchange.model_route else None,
            key=exchange.key_name,
        )
        if exchange.answer:
            metrics.observe_outcomes(exchange.answer, by_default=exchange.answered_by_default)

    def _log(self, ended: "_Ended") -> None:
        exchange, route = ended.exchange, ended.route
        level = logging.DEBUG if route in self._paths.probes else logging.INFO
        if not logger.isEnabledFor(level):
            return
        # Neither path nor query: both may hold a user's text, and the query an API key.
        fields: dict[str, object] = {
            "request_id": exchange.request_id,
            "method": "HEAD" if exchange.is_head else exchange.method,
            "route": route,
            "status": exchange.status,
            "milliseconds": round(ended.seconds * 1000, 3),
        }
        if exchange.key_name:
            fields["key"] = exchange.key_name
        if exchange.stage_milliseconds:
            fields["stages"] = exchange.stage_milliseconds
        if trace := _TRACEPARENT.fullmatch(exchange.headers.get(b"traceparent", "")):
            fields["trace_id"] = trace[1]
        logger.log(level, "request", extra={"fields": fields})


class _Ended(NamedTuple):
    """A request that has ended, its path template, and how long it took."""

    exchange: Exchange
    route: str | None
    seconds: float


class _Channel:
    """Receives and sends the messages of one exchange."""

    def __init__(self, exchange: Exchange, service: Service, receive: Receive, send: Send) -> None:
        self.started = False
        # The client sends its body once it is told to, by the first receive (RFC 9110, 10.1.1).
        self.expects_continue = exchange.headers.get(b"expect", "").lower() == "100-continue"
        self._exchange = exchange
        self._service = service
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        self.expects_continue = False
        return await self._receive()

    async def send(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            self.started = True
            exchange.status = exchange.status or message["status"]
            headers = [*message["headers"], *exchange.response_headers()]
            if not any(name == b"cache-control" for name, _ in message["headers"]):
                headers.append(NO_STORE)
            # The next request would meet a closed connection, or be read as this one's body.
            if self._service.draining or self.expects_continue:
                headers.append(CLOSE)
            message = {**message, "headers": headers}
        elif exchange.is_head:
            message = {**message, "body": b""}
        await self._send(message)


def request_id_of(given: str) -> str:
    """Return the id of a request whose client gave it this one, or none."""
    return given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def request_path(scope: Scope) -> str:
    """Return the path of a request without the prefix that a proxy strips."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
