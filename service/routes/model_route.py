"""Routes of the model: checks of a body before it is parsed, and an end to work nobody awaits."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from inspect import signature
from typing import Any, TypeVar, get_type_hints

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
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
from service.headers import media_type_of
from service.problems import responses
from service.routes.json_values import MAX_JSON_VALUES, exceeds_max_values, may_exceed_max_values
from service.state import service_of

# Errors of any request to the model, for the OpenAPI document.
STATUSES = (400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504)
PROBLEMS = responses(*STATUSES)

# Most responses are ready sooner, and do without a task that watches the client.
_WATCH_AFTER_SECONDS = 0.05
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json", re.IGNORECASE)
_CHARSET = re.compile(r";[ \t]*charset=[\"']?([^\"';\s]*)", re.IGNORECASE)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})  # ASCII is a subset

_Answer = TypeVar("_Answer", bound=Response | None)
_Handler = Callable[[Request], Coroutine[Any, Any, _Answer]]
Handler = _Handler[Response]
# Returns None for a request that only the framework can answer: one that is invalid.
DirectHandler = _Handler[Response | None]


def check_media_type(request: Request, media_type: re.Pattern[str], *names: str) -> None:
    """Check that a body is declared as ``media_type`` in UTF-8; other parameters do not matter.

    Raises:
        UnsupportedMediaTypeError: it is not, or it is compressed; the headers say what can be sent.
    """
    declared = exchange_of(request).headers.get(b"content-type", "")
    readable = {"accept-post": ", ".join(names)}
    found = media_type_of(declared)
    if not media_type.fullmatch(found):
        is_form = found in ("application/x-www-form-urlencoded", "multipart/form-data")
        form = "this is declared as a form, as by `curl -d`; " if is_form else ""
        raise UnsupportedMediaTypeError(
            f"{form}send the body with the header content-type: {names[0]}", readable
        )
    charset = _CHARSET.search(declared)
    if charset and charset[1].lower() not in _UTF8:
        raise UnsupportedMediaTypeError(
            "its content-type declares another charset; send the body in UTF-8", readable
        )
    check_encoding(request)


def check_encoding(request: Request) -> None:
    """Check that a body is not compressed.

    Raises:
        UnsupportedMediaTypeError: it is.
    """
    encoding = exchange_of(request).headers.get(b"content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMediaTypeError(
            "send the body without a content-encoding", {"accept-encoding": "identity"}
        )


class ModelRoute(APIRoute):
    """A route for texts: waits for a body up to the deadline, and stops when its client leaves."""

    def check_head(self, request: Request) -> None:
        """Refuse a body that the route cannot read by the headers of its request."""
        check_encoding(request)

    def check_body(self, body: bytes) -> None:
        """Refuse a body that the route cannot read, before it is parsed."""

    def json_part(self, request: Request, body: bytes) -> bytes:
        """Return the part of a body that is JSON."""
        return body

    def get_route_handler(self) -> Handler:
        """See ``APIRoute.get_route_handler``."""
        return self.checked(super().get_route_handler())

    def direct_handler(self) -> DirectHandler | None:
        """Return what answers valid requests without the framework, if anything does."""
        return None

    def checked(self, handler: _Handler[_Answer]) -> _Handler[_Answer | Response]:
        """Return a handler that first receives the body and checks all but its schema."""

        async def handle(request: Request) -> _Answer | Response:
            self.check_head(request)
            watch = _ClientWatch(request)
            try:
                body = await request.body()
                watch.body_received()
                content = self.json_part(request, body)
                # Counting takes long only for bodies of many values.
                if may_exceed_max_values(content) and await asyncio.to_thread(
                    exceeds_max_values, content
                ):
                    raise BodyLimitError(f"the body holds more than {MAX_JSON_VALUES} JSON values")
                self.check_body(body)
                return await handler(request)
            except ClientDisconnect:
                return _client_gone(request)
            except asyncio.CancelledError:
                if not (watch.body_is_late or watch.disconnected):
                    raise
                watch.task.uncancel()
                if watch.disconnected:
                    return _client_gone(request)
                seconds = service_of(request).settings.deadline_seconds
                raise SlowBodyError(f"the body did not arrive within {seconds:g} s") from None
            finally:
                watch.close()

        return handle


class JsonModelRoute(ModelRoute):
    """A route for texts that accepts only JSON in UTF-8."""

    def check_head(self, request: Request) -> None:
        """See ``ModelRoute.check_head``."""
        check_media_type(request, _JSON, "application/json")

    def direct_handler(self) -> DirectHandler | None:
        """See ``ModelRoute.direct_handler``.

        The framework parses a body before it validates it, and finds by reflection for each request
        what its handler takes and returns. A handler of one model that returns another needs none
        of that.
        """
        types = get_type_hints(self.endpoint)
        if [*signature(self.endpoint).parameters] != ["body", "request"]:
            return None
        validate = TypeAdapter(types["body"]).validator.validate_json
        serialize = TypeAdapter(types["return"]).serializer.to_json
        exclude_none = self.response_model_exclude_none
        endpoint = self.endpoint

        async def handle(request: Request) -> Response | None:
            try:
                body = validate(await request.body())
            except ValidationError:
                return None
            answer = await endpoint(body, request)
            content = serialize(answer, exclude_none=exclude_none)
            return Response(content, media_type="application/json")

        return self.checked(handle)

    def check_body(self, body: bytes) -> None:
        """See ``ModelRoute.check_body``."""
        try:
            # The json module would also accept UTF-16 and UTF-32.
            body.decode()
        except UnicodeDecodeError:
            raise UnreadableBodyError("the body is not UTF-8") from None


class _ClientWatch:
    """Cancels the current task if the body of its request is late, or once its client is gone.

    Most responses are ready before there is anything to watch: such a request costs one timer.
    """

    def __init__(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.body_is_late = self.disconnected = False
        self._request = request
        self._seconds = service_of(request).settings.deadline_seconds
        self._loop = task.get_loop()
        self._receiving = True
        self._watching: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(_WATCH_AFTER_SECONDS, self._start)
        self._started = False

    def body_received(self) -> None:
        """Watch for the client alone: the next message can only be a disconnect."""
        self._receiving = False
        if self._started:
            self._timer.cancel()
            self._start()

    def close(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._watching:
            self._watching.cancel()

    def _start(self) -> None:
        self._started = True
        if self._receiving:
            left = max(0.0, self._seconds - _WATCH_AFTER_SECONDS)
            self._timer = self._loop.call_later(left, self._give_up)
        else:
            self._watching = self._loop.create_task(self._watch())

    def _give_up(self) -> None:
        self.body_is_late = True
        self.task.cancel()

    async def _watch(self) -> None:
        await self._request.receive()
        self.disconnected = True
        self.task.cancel()


def _client_gone(request: Request) -> Response:
    """Return a response that only the log and the metrics will see."""
    exchange_of(request).refusal = CLIENT_GONE_REASON
    return Response(status_code=CLIENT_GONE)
