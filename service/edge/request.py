"""The outermost layers, in pure ASGI: ids, refusals, one log line and the counts of a request."""

import logging
import random
import re
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api_keys import ApiKeys
from service.edge.hosts import Hosts, check_origin
from service.errors import (
    BodyLimitError,
    InflightBodiesFullError,
    InvalidApiKeyError,
    MissingApiKeyError,
    ServiceError,
    allowed,
    error_response,
    on_unexpected_error,
)
from service.inference.fair_share import FairShare
from service.routes.compat.adapter import Adapter
from service.state import Service, client_of

logger = logging.getLogger("service.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# https://www.w3.org/TR/trace-context/: version, trace, parent, flags
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-.{2,}")
# Asked every few seconds for as long as the service runs: logged for debugging alone.
_PROBES = frozenset(
    {"/livez", "/readyz", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]{1,256}")


class ModelPaths:
    """The paths whose requests bring texts for the queue."""

    def __init__(self, templates: Iterable[str]) -> None:
        """``templates`` are paths as routes have them, some with parameters in braces."""
        self._exact = set()
        self._patterns = {}
        for template in templates:
            if "{" in template:
                self._patterns[template] = compile_path(template)[0]
            else:
                self._exact.add(template)

    def find(self, path: str) -> str | None:
        """The template of a path to the model: labels are as few as routes."""
        if path in self._exact:
            return path
        for template, pattern in self._patterns.items():
            if pattern.match(path):
                return template
        return None

    def is_plain(self, path: str) -> bool:
        """Whether a path is one of them, and so plain that it holds nobody's text."""
        return bool(self.find(path) and _PLAIN_PATH.fullmatch(path))


# The paths of which nobody needs a key: probes, and files that hold nothing of anybody's.
_OPEN = _PROBES | {"/", "/docs", "/openapi.json"}

# On every answer. The pages' own policy stands in service/routes/pages.py.
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

# Of such bodies, every connection of a service may bring one.
_SMALL_BODY_BYTES = 4096

# Of the service as a whole.
_ALL_METHODS = {"allow": allowed({"GET", "POST"})}

# What a stream holds of its body at a time, at most.
STREAM_BYTES = 1024 * 1024


def needs_key(method: str, path: str) -> bool:
    """Whether a request is for those alone that have a key, where there are keys."""
    if method == "OPTIONS":  # which is answered with methods, and only then with those of a path
        return False
    return method != "GET" or not (path in _OPEN or path.startswith("/web/"))


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says. HEAD is GET here."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, str]
    adapter: Adapter | None  # whose path it is
    model_route: str | None  # the route of a request to the model

    @property
    def key(self) -> bytes | None:
        """The key that it has, if any."""
        scheme, _, key = self.headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return key.strip().encode("latin-1")
        for name in self.adapter.key_parameters if self.adapter else ():
            if given := self.parameter(name):
                return given.encode()
        return None

    def parameter(self, name: str, *, blank: bool = False) -> str | None:
        """The last value of a parameter of the query; one that is blank only where asked for."""
        # As bytes parse_qs takes nothing but ASCII.
        values = parse_qs(self.query.decode("latin-1"), keep_blank_values=blank).get(name)
        return values[-1] if values else None


class RequestLayer:
    """Gives each request an id, reads its head, logs one line and counts it.

    An ``X-Request-ID`` of the client is kept where it is short and plain; any other is replaced.
    HEAD is answered as GET without a body. What is the same on every answer is added here.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        model_paths: ModelPaths,
        adapters: Sequence[Adapter] = (),
    ) -> None:
        """``adapters`` say problems in forms of their own on their paths."""
        self._app = app
        self._service = service
        self._model_paths = model_paths
        self._adapters = adapters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        is_head = scope["method"] == "HEAD"
        method = "GET" if is_head else scope["method"]
        query = scope.get("query_string", b"")
        # Where logs and spans look there is no query, so none of it can reach them.
        scope = {**scope, "method": method, "query_string": b""}
        path = request_path(scope)
        adapter = next((each for each in self._adapters if each.owns(path)), None)
        model_route = self._model_paths.find(path) if method == "POST" else None
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["head"] = Head(method, path, query, headers, adapter, model_route)
        # What is to be added to the headers of the answer, whatever that will be.
        state["headers"] = [(b"x-request-id", request_id.encode()), *SECURITY_HEADERS]
        if adapter:
            state["error_form"] = adapter.error
        status = 0
        # Which is told to send its body by the first reading of it (RFC 9110, 10.1.1).
        waits = headers.get(b"expect", "").lower() == "100-continue"

        async def receive_noted() -> Message:
            nonlocal waits
            waits = False
            return await receive()

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = message["headers"]
                added = state["headers"]
                if not any(name == b"cache-control" for name, _ in own):
                    added.append((b"cache-control", b"no-store"))  # most answers hold user text
                # Or the next request would meet a closed connection, or be read as a body.
                if self._service.draining or waits:
                    added.append((b"connection", b"close"))
                message = {**message, "headers": [*own, *added]}
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive_noted if waits else receive, send_with_headers)
        except Exception as error:
            # The framework has answered with a 500 already, unless it was not even asked.
            logger.exception("unexpected error", extra={"fields": {"request_id": request_id}})
            if not status:
                answer = await on_unexpected_error(Request(scope), error)
                await answer(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = model_route or getattr(scope.get("route"), "path", None)
            status = state.get("status", status)  # a problem's, whatever a protocol makes of it
            key = state.get("key")
            self._service.metrics.observe_request(
                route,
                status,
                seconds,
                to_model=model_route is not None,
                refusal=state.get("refusal"),
                key=key,
            )
            fields = {
                "request_id": request_id,
                "method": "HEAD" if is_head else method,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 3),
            }
            if key:
                fields["key"] = key
            if stages := state.get("stages"):
                fields["stages"] = stages
            if trace := _TRACEPARENT.fullmatch(headers.get(b"traceparent", "")):
                fields["trace_id"] = trace[1]
            level = logging.DEBUG if route in _PROBES else logging.INFO
            logger.log(level, "request", extra={"fields": fields})


class AdmissionLayer:
    """Refuses what has no key, or no chance.

    A refusal (an ambiguous head, a host that this is not, a page that may not ask, no key, too many
    requests of a key, too large a body announced, no model, a full queue, too many bodies under
    way) is decided by the head of a request: nothing is routed and no body is read. Only a body of
    a length that nobody announced is refused as it comes.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        hosts: Hosts,
        stream_paths: Set[str] = frozenset(),
    ) -> None:
        """Requests at ``stream_paths`` never hold their whole body."""
        self._app = app
        self._service = service
        self._hosts = hosts
        self._origins = frozenset(service.settings.cors_origins)
        self._stream_paths = stream_paths
        # Bytes of the bodies under way to the model, from head to answer.
        self._bodies = FairShare()
        self._streams = FairShare()  # of those of streams, which last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head: Head = scope["state"]["head"]
        to_model = head.model_route is not None
        held = 0
        streamed = to_model and head.path in self._stream_paths

        def hold(size: int) -> None:
            nonlocal held
            limit = self._service.settings.max_inflight_body_bytes
            alone = self._bodies.total == held  # beside it, there is nobody to leave room to
            if not (alone or self._bodies.admits(client, size, limit, _SMALL_BODY_BYTES)) or (
                self._bodies.total + size > limit
            ):
                raise InflightBodiesFullError(
                    "too many bytes of bodies are under way; try again in a moment"
                )
            # Streams may stay for as long as they like, so half is not for them.
            if (
                streamed
                and self._streams.total
                and not self._streams.admits(client, size, limit // 2, small=size)
            ):
                raise InflightBodiesFullError("too many streams are open; try again in a moment")
            self._bodies.take(client, size)
            if streamed:
                self._streams.take(client, size)
            held += size

        async def receive_held() -> Message:
            message = await receive()
            hold(len(message.get("body", b"")))
            return message

        receive_body = receive
        try:
            self._hosts.check(scope)
            check_origin(head.method, head.headers, self._origins)
            if head.method == "OPTIONS" and head.path == "*":
                await Response(status_code=204, headers=_ALL_METHODS)(scope, receive, send)
                return
            if self._service.keys and needs_key(head.method, head.path):
                self._check_key(self._service.keys, head, scope["state"])
            client = client_of(scope)
            announced = self._refuse(head, client, to_model=to_model, streamed=streamed)
            if to_model:
                if announced is None:
                    receive_body = receive_held
                else:
                    hold(announced)
        except ServiceError as error:
            await error_response(Request(scope), error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive_body, send)
        finally:
            self._bodies.give_back(client, held)
            if streamed:
                self._streams.give_back(client, held)

    def _check_key(self, keys: ApiKeys, head: Head, state: dict[str, Any]) -> None:
        """Returns if the request has a key that may ask now; the log gets its name."""
        given = head.key
        if given is None:
            raise MissingApiKeyError("send a key, as Authorization: Bearer KEY")
        key = keys.find(given)
        if key is None:
            raise InvalidApiKeyError("the key is not known")
        state["key"] = key.name
        if key.expired:
            raise InvalidApiKeyError("the key has expired")
        if self._service.rate_limit:
            self._service.rate_limit.count(key.name, state["headers"])

    def _refuse(self, head: Head, client: str, *, to_model: bool, streamed: bool) -> int | None:
        """The bytes that the body of a request which is not refused will be, if that is known."""
        limit = self._service.settings.max_body_bytes
        if to_model:
            self._service.check_room(client)
        if streamed:
            return min(STREAM_BYTES, limit)
        length = head.headers.get(b"content-length", "")
        if not length.isdecimal():
            return None
        digits = length.lstrip("0") or "0"
        if len(digits) > 18 or int(digits) > limit:
            raise BodyLimitError(f"the body is larger than {limit} bytes")
        return int(digits)


def request_path(scope: Scope) -> str:
    """The path without the prefix that a proxy strips."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
