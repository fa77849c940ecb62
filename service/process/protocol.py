"""HTTP on the wire: bounds on the time and the bytes that a client may take."""

import asyncio
import json
import re
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.edge.quick_refusal import QuickRefusal
from service.headers import CLOSE, SECURITY_HEADERS, header_lines
from service.problems import MEDIA_TYPE, problem
from service.process.transport import JoiningTransport, TurnFlowControl

# The end of a head as the parser sees it; the parser itself rejects bare line feeds.
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_MAX_HEAD_BYTES = 16 * 1024
# Parse at most 16 KiB per turn, so one client's pipeline cannot block others: 256 KiB of it, or of
# one-byte chunks, would hold up the event loop for 100 ms.
_PARSE_SIZE = 16 * 1024
# Requests queued on one connection; browsers do not pipeline at all.
_MAX_PIPELINED_REQUESTS = 64
_UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
# Same length as the name it replaces, so no byte offset changes.
_DISABLED_UPGRADE = b"\r\nignored"
_MALFORMED = (400, "malformed HTTP request")
# How often to check that a client which shut down its sending half is still connected.
_CLIENT_CHECK_SECONDS = 0.5


class Connections:
    """What the connections of a process share: their limits, and the idle ones in order."""

    def __init__(self, maximum: int, seconds: float, refusal: QuickRefusal | None = None) -> None:
        """Allow ``maximum`` connections, and ``seconds`` for a head or an unwanted body.

        ``refusal`` tells which requests are refused by their head.
        """
        self.maximum = maximum
        self.seconds = seconds
        self.refusal = refusal
        # Connections that wait for a request or more of its body, the longest idle first.
        self.idle: dict[HttpProtocol, None] = {}

    def evict_idle(self, count: int) -> bool:
        """Return whether one more than ``count`` fits, closing the longest idle one if need be.

        A flood of connections thus closes its own, not those in use.
        """
        if count < self.maximum:
            return True
        for longest in self.idle:
            if not longest.is_served:
                longest.transport.abort()
                del self.idle[longest]
                return True
        return False


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on heads, idle clients and pipelines, and without upgrades.

    A server may ignore an offer to upgrade (RFC 9110, 7.8). Java's built-in client offers HTTP/2
    with its first request, and the parser would then skip everything after the head. So the header
    is renamed, in heads only; bodies are never touched.

    A client that shuts down its sending half still gets its responses (RFC 9112, 9.6).
    """

    def __init__(self, connections: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._shared = connections
        self._head = b""  # what has arrived of an incomplete head
        # Parses an incomplete head as it arrives, to reject at once what cannot become one.
        self._head_checker: httptools.HttpRequestParser | None = None
        self._in_message = self._in_body = False
        self._ignores_body = False  # of a request that was refused by its head
        self._bytes_without_progress = 0  # since the parser last reported anything
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._client_check: asyncio.TimerHandle | None = None

    @property
    def is_served(self) -> bool:
        """Whether the response has started, or part of the body still waits to be read."""
        cycle = self.cycle
        return bool(
            cycle and not cycle.response_complete and (cycle.response_started or cycle.body)
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol.connection_made``."""
        room = self._shared.evict_idle(len(self.connections))
        super().connection_made(transport)
        self.flow: TurnFlowControl = TurnFlowControl(transport)
        self.transport = JoiningTransport(transport, self.loop)  # type: ignore[assignment]
        if not room:
            transport.abort()
            return
        self._update_idle()
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol.connection_lost``."""
        self._shared.idle.pop(self, None)
        self._cancel_timer()
        if self._client_check:
            self._client_check.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol.data_received``."""
        flow = self.flow
        if flow.unparsed or len(data) > _PARSE_SIZE:
            if not flow.unparsed:
                flow.pause_reading()
                self.loop.call_soon(self._parse_on)
            flow.unparsed += data
        else:
            self._parse(data)

    def _parse_on(self) -> None:
        """Parse a turn's share of what has arrived, and read more once nothing is left of it."""
        flow = self.flow
        if self.transport.is_closing():
            return
        data, flow.unparsed = flow.unparsed[:_PARSE_SIZE], flow.unparsed[_PARSE_SIZE:]
        self._parse(data)
        if flow.unparsed:
            self.loop.call_soon(self._parse_on)
        elif not (self.cycle and len(self.cycle.body) > HIGH_WATER_LIMIT):
            flow.resume_reading()

    def _parse(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._in_message:
            if not self._head:
                data = data.lstrip(b"\r\n")  # which may come before a request (RFC 9112, 2.2)
                if not data:
                    return
            self._unset_keepalive_if_required()
            received, data = data, self._head + data
            end = _HEAD_END.search(data, max(0, len(self._head) - 3))
            if (end.start() if end else len(data)) > _MAX_HEAD_BYTES:
                self._refuse_long_head()
                return
            if not end:
                self._buffer_head(received)
                return
            self._head = b""
            data = _UPGRADE.sub(_DISABLED_UPGRADE, data[: end.start()]) + data[end.start() :]
        self._bytes_without_progress += len(data)
        super().data_received(data)
        if self._in_message and self._bytes_without_progress > _MAX_HEAD_BYTES:
            self._refuse_long_head()
        elif self._in_message and not self._in_body:  # an incomplete head after another request
            self._start_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a half-closed connection open until its responses are sent (RFC 9112, 9.6)."""
        cast(JoiningTransport, self.transport).flush()  # before it closes itself
        answered = self.cycle is None or self.cycle.response_complete
        unfinished = self._in_message and not (self._in_body and answered)
        if not self._refused and (self._head.strip() or unfinished):
            self._refuse(400, "the request is incomplete")
        if answered:
            return False
        self.cycle.keep_alive = False
        if self._client_check is None and self.cycle.scope["http_version"] == "1.1":
            self._client_check = self.loop.call_later(_CLIENT_CHECK_SECONDS, self._check_client)
        return True

    def on_message_begin(self) -> None:
        """Note that what follows belongs to this message."""
        self._unset_keepalive_if_required()  # of a refusal that came in the same turn
        self._in_message = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header, but no trailer: it must not pass for a header (RFC 9110, 6.5.1)."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is rejected.

        Raises:
            ValueError: the request was rejected; this stops the parser.
        """
        version = self.parser.get_http_version()
        if fault := self._head_error(version):
            self._refuse(*fault)
            raise ValueError(fault[1])
        self.expect_100_continue &= version != "1.0"  # which has no 100 Continue
        if not self.url.startswith((b"/", b"*")):
            self._resolve_target()
        self._ignores_body = version == "1.1" and self._refuse_quickly()
        if not self._ignores_body:
            super().on_headers_complete()
        self._in_body = True
        self._bytes_without_progress = 0
        self._update_idle()
        self._cancel_timer()
        if self._ignores_body:
            self._start_timer()

    def on_body(self, body: bytes) -> None:
        """See ``HttpToolsProtocol.on_body``."""
        self._bytes_without_progress = 0
        self._update_idle()
        if not self._ignores_body:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that what follows is the head of another request."""
        self._in_message = self._in_body = False
        self._bytes_without_progress = 0
        self._update_idle()
        if not (self._ignores_body or self.cycle.response_complete):
            super().on_message_complete()
            return
        # The response was there before the body: the next request may take its time from now on.
        self._cancel_timer()
        if self.parser.should_keep_alive():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Read the rest of the body for a while: closing at once could lose the response."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self._update_idle()
        if self.cycle.response_complete:
            self._await_client()

    def send_400_response(self, msg: str) -> None:
        """See ``HttpToolsProtocol.send_400_response``."""
        if not self._refused:
            self._refuse(*_MALFORMED)

    def _refuse_quickly(self) -> bool:
        """Respond to a request for which there is no room, and return whether this was one."""
        refusal = self._shared.refusal
        idle = self.cycle is None or self.cycle.response_complete
        if refusal is None or not idle or not self.client:
            return False
        if self.flow.write_paused:  # the layers wait until the client has read what it was sent
            return False
        response = refusal.response(
            self.parser.get_method(), self.url, self.headers, self.client[0]
        )
        if response is None:
            return False
        headers = self.server_state.default_headers
        if not self.parser.should_keep_alive():
            headers = [*headers, CLOSE]
        self.transport.write(STATUS_LINE[429] + header_lines(headers) + response)
        return True

    def _buffer_head(self, received: bytes) -> None:
        """Wait for the rest of a head, unless what has arrived cannot become one."""
        if self._head_checker is None or not self._head:
            self._head_checker = httptools.HttpRequestParser(object())
        self._head += received
        try:
            self._head_checker.feed_data(received)
        except httptools.HttpParserError:
            self._refuse(*_MALFORMED)
        else:
            self._start_timer()

    def _head_error(self, version: str) -> tuple[int, str] | None:
        """Return the status and detail that reject this head, or None if it is acceptable."""
        codings = [
            value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"
        ]
        if version == "0.9":
            return 400, "the request line lacks an HTTP version"
        if version not in ("1.0", "1.1"):
            return 505, "unsupported HTTP version; use HTTP/1.1"
        if self.parser.get_method() == b"CONNECT":
            return 501, "CONNECT is not supported; the service is not a proxy"
        if self.parser.should_upgrade():  # pipelined, so the offer was not renamed
            return 400, "an upgrade cannot be offered in a pipelined request"
        if len(codings) > 1 or (codings and version == "1.0"):
            return 400, "ambiguous transfer coding"
        if codings not in ([], [b"chunked"]):
            return 501, "unsupported transfer coding; use chunked"
        if len(self.pipeline) >= _MAX_PIPELINED_REQUESTS:
            return 400, "too many pipelined requests"
        return None

    def _resolve_target(self) -> None:
        """Let the host of an absolute target override ``Host`` (RFC 9112, 3.2.2)."""
        target = urlsplit(self.url)
        self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        host = target.netloc.rpartition(b"@")[2]
        self.headers[:] = [
            (name, host if name == b"host" else value) for name, value in self.headers
        ]

    def _update_idle(self) -> None:
        """Move this connection to the end of the idle ones, or remove it if it is busy."""
        self._shared.idle.pop(self, None)
        answered = self.cycle is None or self.cycle.response_complete
        if answered or (self._in_body and not self.pipeline):
            self._shared.idle[self] = None

    def _await_client(self) -> None:
        if self._in_message or self.timeout_keep_alive_task is None:
            self._start_timer()

    def _check_client(self) -> None:
        """Send an interim response, so that a client that has gone away is noticed.

        A half-closed connection and a closed one look the same until something is sent: only then
        does the peer reset the connection. Clients must skip a 100 (RFC 9110, 15.2.1).
        """
        self._client_check = None
        if self.cycle.response_complete or self.transport.is_closing():
            return
        if not self.pipeline and not self.cycle.response_started:
            self.transport.write(STATUS_LINE[100] + b"\r\n")
        self._client_check = self.loop.call_later(_CLIENT_CHECK_SECONDS, self._check_client)

    def _start_timer(self) -> None:
        if not self._timer:
            self._timer = self.loop.call_later(self._shared.seconds, self._on_timeout)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        self._timer = None
        if self._head or self._in_message:
            self._refuse(408, f"the request was not received within {self._shared.seconds:g} s")
        else:
            self.transport.close()

    def _refuse_long_head(self) -> None:
        self._refuse(431, f"request line and headers exceed {_MAX_HEAD_BYTES} bytes")

    def _refuse(self, status: int, detail: str) -> None:
        """Reject what is being read and close, after the responses to earlier requests."""
        self._refused = True
        self._head = b""
        cycle = self.cycle
        if cycle and not cycle.response_complete and (self.pipeline or not self._in_body):
            cycle.keep_alive = False
            self.flow.stop_reading()
            return
        responded = self._ignores_body or (cycle and cycle.response_started)
        if not (self._in_body and responded):
            body = json.dumps(problem(status, detail).model_dump(exclude_none=True)).encode()
            headers = (
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                CLOSE,
                *SECURITY_HEADERS,
            )
            self.transport.write(STATUS_LINE[status] + header_lines(headers) + b"\r\n" + body)
        self.transport.close()
