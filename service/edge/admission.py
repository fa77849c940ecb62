"""Refuses a request by its head: nothing is routed and no body is read for a refusal."""

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api_keys import ApiKeys
from service.edge.hosts import Hosts, check_origin
from service.edge.paths import Paths
from service.error_handlers import error_response
from service.errors import (
    BodyLimitError,
    InflightBodiesFullError,
    InvalidApiKeyError,
    MissingApiKeyError,
    ServiceError,
)
from service.exchange import Exchange, exchange_in
from service.headers import allow_header
from service.inference.fair_share import FairShare
from service.state import Service

# Each connection may send a body of up to this size: it is never too large a share.
_SMALL_BODY_BYTES: Final = 4096

_ALL_METHODS: Final = {"allow": allow_header({"GET", "POST"})}


class AdmissionLayer:
    """Refuses a request that has no API key, or no chance.

    Its headers are ambiguous, its host is another one, its page may not send it, its key is missing
    or makes too many requests, its body is announced as too large, there is no model, the queue is
    full, or there are too many in-flight bodies: all this is known from the head. Only a body whose
    length was not announced is refused as it comes.
    """

    def __init__(self, app: ASGIApp, service: Service, hosts: Hosts, paths: Paths) -> None:
        self._app = app
        self._service = service
        self._hosts = hosts
        self._origins = frozenset(service.settings.cors_origins)
        self._paths = paths
        self._bodies = _InflightBodies(service.settings.max_inflight_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = exchange_in(scope)
        body = None
        try:
            self._hosts.check(scope)
            check_origin(exchange.method, exchange.headers, self._origins)
            if exchange.method == "OPTIONS" and exchange.path == "*":
                await Response(status_code=204, headers=_ALL_METHODS)(scope, receive, send)
                return
            if self._service.keys and self._paths.needs_key(exchange.method, exchange.path):
                self._check_key(self._service.keys, exchange, scope)
            if exchange.model_route:
                self._service.models.check_room(exchange.client)
            size = self._body_size(exchange)
            if exchange.model_route:
                is_stream = exchange.path in self._paths.streams
                limit = None if is_stream else self._service.settings.max_body_bytes
                body = _InflightBody(self._bodies, exchange.client, receive, limit)
                if size is None:
                    receive = body.receive
                else:
                    body.grow(size)
        except ServiceError as error:
            await error_response(Request(scope), error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if body:
                body.release()

    def _check_key(self, keys: ApiKeys, exchange: Exchange, scope: Scope) -> None:
        """Note the name of a valid API key, and count the request against its rate limit.

        Raises:
            MissingApiKeyError: the request has none.
            InvalidApiKeyError: it is unknown or has expired.
            RateLimitError: the key exceeded its rate.
        """
        given = _given_key(exchange, scope)
        if given is None:
            raise MissingApiKeyError("send an API key, as Authorization: Bearer KEY")
        key = keys.find(given)
        if key is None:
            raise InvalidApiKeyError("the API key is unknown")
        exchange.key_name = key.name
        if key.expired:
            raise InvalidApiKeyError("the API key has expired")
        if self._service.rate_limit:
            exchange.rate_limit_headers = self._service.rate_limit.count_request(key.name)

    def _body_size(self, exchange: Exchange) -> int | None:
        """Return the bytes of a body that will be held at once, or None if they are unknown.

        Raises:
            BodyLimitError: the body is announced as larger than the limit.
        """
        limit = self._service.settings.max_body_bytes
        if exchange.model_route and exchange.path in self._paths.streams:
            return min(self._paths.streams[exchange.path], limit)
        announced = exchange.headers.get(b"content-length", "")
        if not announced.isdecimal():
            return None
        digits = announced.lstrip("0") or "0"
        # Python would not parse a number of thousands of digits.
        if len(digits) > 18 or int(digits) > limit:
            raise BodyLimitError(f"the body is larger than {limit} bytes")
        return int(digits)


class _InflightBodies:
    """Bytes of the request bodies on their way to the model, from head to answer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._all = FairShare()
        self._streams = FairShare()  # those among them that are streams, which last

    def acquire(self, client: str, size: int, held: int, *, is_stream: bool) -> None:
        """Add ``size`` bytes to a body that has ``held``.

        Raises:
            InflightBodiesFullError: they would exceed the limit or the client's share of it.
        """
        alone = self._all.total == held  # there is no other body to leave room for
        fits = self._all.total + size <= self._limit
        if not fits or not (
            alone or self._all.admits(client, size, self._limit, _SMALL_BODY_BYTES)
        ):
            raise InflightBodiesFullError("too many in-flight request bodies; try again soon")
        # Streams may stay for as long as they like, so half of the room is not for them.
        if (
            is_stream
            and self._streams.total
            and not self._streams.admits(client, size, self._limit // 2, small=size)
        ):
            raise InflightBodiesFullError("too many streams are open; try again soon")
        self._all.acquire(client, size)
        if is_stream:
            self._streams.acquire(client, size)

    def release(self, client: str, size: int, *, is_stream: bool) -> None:
        """Take the bytes of a body out again."""
        self._all.release(client, size)
        if is_stream:
            self._streams.release(client, size)


class _InflightBody:
    """The body of one request, which grows as it is received unless its size is known."""

    def __init__(
        self, bodies: _InflightBodies, client: str, receive: Receive, limit: int | None
    ) -> None:
        """``limit`` is the maximum number of bytes, or none for a stream."""
        self._bodies = bodies
        self._client = client
        self._receive = receive
        self._limit = limit
        self._is_stream = limit is None
        self._held = 0

    def grow(self, size: int) -> None:
        """Take the room for ``size`` bytes more; see ``_InflightBodies.acquire``."""
        self._bodies.acquire(self._client, size, self._held, is_stream=self._is_stream)
        self._held += size

    async def receive(self) -> Message:
        """Receive the next part of a body whose size is not known.

        Raises:
            BodyLimitError: it is larger than the limit.
            InflightBodiesFullError: see ``_InflightBodies.acquire``.
        """
        message = await self._receive()
        self.grow(len(message.get("body", b"")))
        if self._limit is not None and self._held > self._limit:
            raise BodyLimitError(f"the body is larger than {self._limit} bytes")
        return message

    def release(self) -> None:
        """Leave the room to others."""
        self._bodies.release(self._client, self._held, is_stream=self._is_stream)


def _given_key(exchange: Exchange, scope: Scope) -> bytes | None:
    """Return the API key that a request was sent with, if any."""
    scheme, _, key = exchange.headers.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip().encode("latin-1")
    names = exchange.adapter.key_parameters if exchange.adapter else ()
    if names:
        # As bytes, parse_qs takes nothing but ASCII.
        query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        for name in names:
            if name in query:
                return query[name][-1].encode()
    return None
