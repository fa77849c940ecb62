"""The outermost layer, in pure ASGI: ids, refusals, one log line and the counts of a request."""

import logging
import random
import re
import time
from collections.abc import Mapping, Set

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    BodyLimitError,
    ServiceError,
    problem,
    problem_response,
)
from service.state import Service

logger = logging.getLogger("service.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# https://www.w3.org/TR/trace-context/: version, trace, parent, flags
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-.{2,}")
# Asked every few seconds for as long as the service runs: logged for debugging alone.
_PROBES = frozenset({"/livez", "/readyz", "/health", "/metrics"})


class RequestLayer:
    """Gives each request an id, refuses what has no chance, logs one line and counts it.

    A refusal (too large a body announced, no model, a full queue) is decided by the head of a
    request: nothing is routed and no body is read. An ``X-Request-ID`` of the client is kept where
    it is short and plain; any other is replaced. HEAD is answered as GET without a body.
    """

    def __init__(self, app: ASGIApp, service: Service, model_paths: Set[str]) -> None:
        """``model_paths`` are those whose requests bring texts for the queue."""
        self._app = app
        self._service = service
        self._model_paths = model_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        head = scope["method"] == "HEAD"
        # No route reads a query, so none of it can reach a log line or a span.
        scope = {**scope, "method": "GET" if head else scope["method"], "query_string": b""}
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = [(b"x-request-id", request_id.encode())]
                if self._service.draining:  # or the next request would meet a closed connection
                    added.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *added]}
            elif head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._answer(scope, headers, receive, send_with_id)
        except Exception:
            # The framework has answered with a 500 already; its traceback ends here.
            logger.exception("unexpected error", extra={"fields": {"request_id": request_id}})
        finally:
            seconds = time.perf_counter() - started
            to_model = self._to_model(scope)
            route = getattr(scope.get("route"), "path", None)
            if to_model:
                route = request_path(scope)
            self._service.metrics.observe_request(route, status, seconds, to_model=to_model)
            fields = {
                "request_id": request_id,
                "method": "HEAD" if head else scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 3),
            }
            if stages := state.get("stages"):
                fields["stages"] = stages
            if trace := _TRACEPARENT.fullmatch(headers.get(b"traceparent", "")):
                fields["trace_id"] = trace[1]
            level = logging.DEBUG if route in _PROBES else logging.INFO
            logger.log(level, "request", extra={"fields": fields})

    def _to_model(self, scope: Scope) -> bool:
        return scope["method"] == "POST" and request_path(scope) in self._model_paths

    async def _answer(
        self, scope: Scope, headers: Mapping[bytes, str], receive: Receive, send: Send
    ) -> None:
        try:
            self._refuse(scope, headers)
        except ServiceError as error:
            body = problem(error.status, error.detail)
            response = problem_response(Request(scope), body, error.headers)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, scope: Scope, headers: Mapping[bytes, str]) -> None:
        if self._to_model(scope):
            self._service.ready_model().batcher.check_room()
        limit = self._service.settings.max_body_bytes
        length = headers.get(b"content-length", "").lstrip("0")
        if length.isdecimal() and (len(length) > 18 or int(length) > limit):
            raise BodyLimitError(f"the body is larger than {limit} bytes")


def request_path(scope: Scope) -> str:
    """The path without the prefix that a proxy strips."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
