"""The short way of valid requests to the busiest routes."""

from collections.abc import Mapping
from functools import cached_property

from fastapi import FastAPI
from opentelemetry import trace
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from model import TextError
from service.error_handlers import error_response
from service.errors import ServiceError
from service.exchange import exchange_in
from service.routes.model_route import DirectHandler


class DirectLayer:
    """Answers what needs nothing of the framework but its routes' handlers; leaves it all else.

    A request for the model would spend half of its time in layers, in matching its path, and in
    finding out what its handler takes. Invalid requests, whose errors the framework tells, take
    that way, and so do all if traces are exported, which the framework makes.
    """

    def __init__(self, api: FastAPI, handlers: Mapping[str, DirectHandler]) -> None:
        """``handlers`` are those of POST requests, by their paths."""
        self._api = api
        self._handlers = handlers

    @cached_property
    def _traces(self) -> bool:
        """Whether traces are exported, which is decided before the first request."""
        return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        handler = None
        if scope["type"] == "http" and scope["method"] == "POST" and not self._traces:
            handler = self._handlers.get(exchange_in(scope).path)
        if handler is None:
            await self._api(scope, receive, send)
            return
        scope["app"] = self._api
        request = _Request(scope, receive)
        try:
            response = await handler(request)
        except (ServiceError, TextError) as error:
            response = error_response(request, error)
        if response is None:
            await self._api(scope, _Replay(await request.body(), receive), send)
        else:
            await response(scope, receive, send)


class _Request(Request):
    """A request that receives its body in one step: most bodies are one message."""

    async def body(self) -> bytes:
        """See ``Request.body``."""
        if not hasattr(self, "_body"):
            parts = []
            more = True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(parts)
        return self._body


class _Replay:
    """Receives a body again that has been read, and then what comes after it."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
