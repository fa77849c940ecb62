"""What a request to the model must pass before its body is parsed, and its client's leaving."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from service.errors import (
    CLIENT_GONE,
    CLIENT_GONE_REASON,
    BodyLimitError,
    SlowBodyError,
    UnreadableBodyError,
    UnsupportedMediaTypeError,
)
from service.exchange import exchange_of
from service.problems import responses
from service.routes.json_values import MAX_JSON_VALUES, exceeds_max_values, may_exceed_max_values
from service.state import service_of

# What any request to the model can meet, in the OpenAPI document.
STATUSES = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504)
PROBLEMS = responses(*STATUSES)

_WATCHED_AFTER_SECONDS = 0.05
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE)
_CHARSET = re.compile(r";[ \t]*charset=[\"']?([^\"';\s]*)", re.IGNORECASE)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})  # the last of which are a part of it


def check_media_type(request: Request, media_type: re.Pattern[str], *names: str) -> None:
    """Returns if a body is declared as ``media_type``, whatever its parameters, and in UTF-8.

    Raises:
        UnsupportedMediaTypeError: it is not, or it is compressed; it names what can be sent.
    """
    declared = request.headers.get("content-type", "")
    readable = {"accept-post": ", ".join(names)}
    if not media_type.fullmatch(declared.partition(";")[0].strip()):
        raise UnsupportedMediaTypeError(f"send the body as content-type {names[0]}", readable)
    charset = _CHARSET.search(declared)
    if charset and charset[1].lower() not in _UTF8:
        raise UnsupportedMediaTypeError(
            "send the body in UTF-8; its content-type names another charset", readable
        )
    check_encoding(request)


def check_encoding(request: Request) -> None:
    """Returns if a body is not compressed.

    Raises:
        UnsupportedMediaTypeError: it is.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError(
            "send the body without a content-encoding", {"accept-encoding": "identity"}
        )


class ModelRoute(APIRoute):
    """A route for texts: does not wait long for a body, and stops when its client goes away."""

    def check_head(self, request: Request) -> None:
        """Refuses by its head a body that the route cannot read."""
        check_encoding(request)

    def check_body(self, body: bytes) -> None:
        """Refuses a body that the route cannot read, before it is parsed."""

    def json_part(self, request: Request, body: bytes) -> bytes:
        """What of the body is JSON."""
        return body

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See ``APIRoute.get_route_handler``."""
        handler = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            self.check_head(request)
            seconds = service_of(request).settings.deadline_seconds
            try:
                async with asyncio.timeout(seconds):
                    body = await request.body()
            except TimeoutError:
                raise SlowBodyError(f"the body did not arrive within {seconds:g} s") from None
            except ClientDisconnect:
                return _client_gone(request)
            content = self.json_part(request, body)
            # Counting takes a while only where there is much to count.
            if may_exceed_max_values(content) and await asyncio.to_thread(
                exceeds_max_values, content
            ):
                raise BodyLimitError(f"the body holds more than {MAX_JSON_VALUES} JSON values")
            self.check_body(body)
            return await cancel_on_disconnect(request, handler)

        return admitted


class JsonModelRoute(ModelRoute):
    """A route for texts in JSON, which refuses what is none in UTF-8."""

    def check_head(self, request: Request) -> None:
        """See ``ModelRoute.check_head``."""
        check_media_type(request, _JSON, "application/json")

    def check_body(self, body: bytes) -> None:
        """See ``ModelRoute.check_body``."""
        try:
            # json would guess UTF-16 and UTF-32 from the first bytes.
            body.decode()
        except UnicodeDecodeError:
            raise UnreadableBodyError("the body is not UTF-8") from None


async def cancel_on_disconnect(
    request: Request, handler: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    """The answer; a client that goes away cancels it, which frees its place in the queue.

    Most answers are there before it is worth asking.
    """
    answering = asyncio.current_task()
    assert answering is not None
    watching: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        # The body has been read: the next thing to receive is that the client is gone.
        await request.receive()
        gone = True
        answering.cancel()

    def begin() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch())

    waiting = asyncio.get_running_loop().call_later(_WATCHED_AFTER_SECONDS, begin)
    try:
        return await handler(request)
    except asyncio.CancelledError:
        if not gone:
            raise
        answering.uncancel()
        return _client_gone(request)
    finally:
        waiting.cancel()
        if watching:
            watching.cancel()


def _client_gone(request: Request) -> Response:
    """Return a response for the log and the metrics: nobody else will read it."""
    exchange_of(request).refusal = CLIENT_GONE_REASON
    return Response(status_code=CLIENT_GONE)
