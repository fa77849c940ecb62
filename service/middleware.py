"""The outermost layer, in pure ASGI: request ids, the body limit, one log line a request."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    BodyLimitError,
    ServiceError,
    problem,
    problem_response,
)

logger = logging.getLogger("service.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Asked every few seconds for as long as the service runs: logged for debugging alone.
_PROBES = frozenset({"/livez", "/readyz", "/health"})


class RequestLayer:
    """Gives each request an id, refuses one that announces too large a body, and logs one line.

    An ``X-Request-ID`` of the client is kept where it is short and plain; any other is replaced.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._answer(scope, headers, receive, send_with_id)
        except Exception:
            # The framework has answered with a 500 already; its traceback ends here.
            logger.exception("unexpected error", extra={"fields": {"request_id": request_id}})
        finally:
            route = getattr(scope.get("route"), "path", None)
            logger.log(
                logging.DEBUG if route in _PROBES else logging.INFO,
                "request",
                extra={
                    "fields": {
                        "request_id": request_id,
                        "method": scope["method"],
                        "route": route,
                        "status": status,
                        "milliseconds": round((time.perf_counter() - started) * 1000, 3),
                    }
                },
            )

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        try:
            self._refuse(headers)
        except ServiceError as error:
            body = problem(error.status, error.detail)
            response = problem_response(Request(scope), body, error.headers)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, headers: Headers) -> None:
        length = headers.get("content-length", "").lstrip("0")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._max_body_bytes):
            raise BodyLimitError(f"the body is larger than {self._max_body_bytes} bytes")
