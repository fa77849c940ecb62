"""HTTP as it comes over the wire: how long and how much a client may take before it is answered."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.headers import SECURITY_HEADERS
from service.problems import MEDIA_TYPE, problem

# As the parser sees it, which refuses line feeds alone.
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_MAX_HEAD_BYTES = 16 * 1024
# What one client sends is taken in such pieces, with others between them: of a pipeline or of
# chunks of a byte each, the system's 256 KiB would hold up the event loop for a tenth of a second.
_READ_SIZE = 16 * 1024
# Requests that wait on one connection for those before them; browsers send no second one at all.
_MAX_PIPELINED_REQUESTS = 64
_UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
# As long as what it stands for: nothing that is counted by length may ever move.
_DISABLED_UPGRADE = b"\r\nignored"
_MALFORMED = (400, "this is not HTTP as the service speaks it")
# Between two looks at whether a client that sends no more is there to read.
_CLIENT_CHECK_SECONDS = 0.5


class Connections:
    """What the connections of a process share: their limits, and those whose client is to speak."""

    def __init__(self, most: int, seconds: float) -> None:
        """At most ``most`` connections; a head may take ``seconds``, as may an unwanted body."""
        self.most = most
        self.seconds = seconds
        # Those that wait for a request or for more of its body, by when something last came.
        self.idle: dict[HttpProtocol, None] = {}

    def evict_idle(self, count: int) -> bool:
        """Whether one more may stay beside ``count``: the one that was idle for longest makes way.

        Whoever floods the service with connections closes its own, not those that are in use.
        """
        if count < self.most:
            return True
        for longest in self.idle:
            if not longest.is_served:
                longest.transport.abort()
                del self.idle[longest]
                return True
        return False


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with bounds on heads, idle clients and pipelines, and no offer to upgrade.

    A server may ignore an offer to upgrade (RFC 9110, 7.8). Java's own client makes one with its
    first request, for HTTP/2, and the parser would leave out whatever follows the head. So the
    header gets another name, in heads alone: a body is never looked at.

    A client that sends no more still gets its answers.
    """

    def __init__(self, connections: Connections, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._shared = connections
        self._head = b""  # until it is whole
        # Reads along while a head comes in pieces, so that what can be none need not end.
        self._head_checker: httptools.HttpRequestParser | None = None
        self._in_message = self._in_body = False
        self._bytes_without_progress = 0  # bytes since the parser last made anything of them
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._client_check: asyncio.TimerHandle | None = None

    @property
    def is_served(self) -> bool:
        """Whether the service has begun its answer, or has not yet taken what has come."""
        cycle = self.cycle
        return bool(
            cycle and not cycle.response_complete and (cycle.response_started or cycle.body)
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol.connection_made``."""
        room = self._shared.evict_idle(len(self.connections))
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own, which says what it asks the system for
            transport.max_size = _READ_SIZE
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
        if self._refused:
            return
        if not self._in_message:
            self._unset_keepalive_if_required()
            came, data = data, self._head + data
            end = _HEAD_END.search(data, max(0, len(self._head) - 3))
            if (end.start() if end else len(data)) > _MAX_HEAD_BYTES:
                self._refuse_long_head()
                return
            if not end:
                self._buffer_head(came)
                return
            self._head = b""
            data = _UPGRADE.sub(_DISABLED_UPGRADE, data[: end.start()]) + data[end.start() :]
        self._bytes_without_progress += len(data)
        super().data_received(data)
        if self._in_message and self._bytes_without_progress > _MAX_HEAD_BYTES:
            self._refuse_long_head()
        elif self._in_message and not self._in_body:  # a head that came behind another request
            self._start_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more, which does not say that it reads no more (RFC 9112, 9.6)."""
        unfinished = self._in_message and not (self._in_body and self.cycle.response_complete)
        if not self._refused and (self._head.strip() or unfinished):
            self._refuse(400, "the request ended before it was whole")
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        if self._client_check is None and self.cycle.scope["http_version"] == "1.1":
            self._client_check = self.loop.call_later(_CLIENT_CHECK_SECONDS, self._check_client)
        return True

    def on_message_begin(self) -> None:
        """What follows is of this message, to its end."""
        self._in_message = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A request begins.

        Raises:
            ValueError: which ends the parsing; it has been refused.
        """
        version = self.parser.get_http_version()
        if fault := self._head_error(version):
            self._refuse(*fault)
            raise ValueError(fault[1])
        self.expect_100_continue &= version != "1.0"  # whose clients would not know it
        if not self.url.startswith((b"/", b"*")):
            self._resolve_target()
        super().on_headers_complete()
        self._in_body = True
        self._bytes_without_progress = 0
        self._update_idle()
        self._cancel_timer()

    def on_body(self, body: bytes) -> None:
        """See the parser."""
        self._bytes_without_progress = 0
        self._update_idle()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What follows is the head of another."""
        self._in_message = self._in_body = False
        self._bytes_without_progress = 0
        self._update_idle()
        if self.cycle.response_complete:  # and this was what nobody wanted
            self._cancel_timer()
            self._await_client()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """What is left of the body is read, for a while: closing at once could lose the answer."""
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

    def _buffer_head(self, came: bytes) -> None:
        """Waits for the rest of a head, unless what has come cannot be the beginning of one."""
        if self._head_checker is None or not self._head:
            self._head_checker = httptools.HttpRequestParser(object())
        self._head += came
        try:
            self._head_checker.feed_data(came)
        except httptools.HttpParserError:
            self._refuse(*_MALFORMED)
        else:
            self._start_timer()

    def _head_error(self, version: str) -> tuple[int, str] | None:
        """Why the head of a request is refused, if it is: a status and a sentence."""
        codings = [
            value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"
        ]
        if version == "0.9":
            return 400, "the request line names no version of HTTP"
        if version not in ("1.0", "1.1"):
            return 505, "the service speaks HTTP/1.1"
        if self.parser.get_method() == b"CONNECT":
            return 501, "the service is no proxy"
        if self.parser.should_upgrade():  # behind another request, where no offer was taken out
            return 400, "the parser would leave out whatever follows"
        if len(codings) > 1 or (codings and version == "1.0"):
            return 400, "proxies do not agree on where the body would end"
        if codings not in ([], [b"chunked"]):
            return 501, "chunked is the one transfer coding that the service reads"
        if len(self.pipeline) >= _MAX_PIPELINED_REQUESTS:
            return 400, "too many requests wait on this connection"
        return None

    def _resolve_target(self) -> None:
        """Of a target that names a host, that host counts and no ``Host`` (RFC 9112, 3.2.2)."""
        target = urlsplit(self.url)
        self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        host = target.netloc.rpartition(b"@")[2]
        self.headers[:] = [
            (name, host if name == b"host" else value) for name, value in self.headers
        ]

    def _update_idle(self) -> None:
        """Puts it last among those that wait for their client, or takes it out of them."""
        self._shared.idle.pop(self, None)
        answered = self.cycle is None or self.cycle.response_complete
        if answered or (self._in_body and not self.pipeline):
            self._shared.idle[self] = None

    def _await_client(self) -> None:
        if self._in_message or self.timeout_keep_alive_task is None:
            self._start_timer()

    def _check_client(self) -> None:
        """Has the system find out whether a client that sends no more has left altogether.

        Both look the same until something is sent: only then does the other side say that nobody is
        there, and the next write fails. Any client has to skip a 100 (RFC 9110, 15.2.1).
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
            self._refuse(408, f"the request did not come within {self._shared.seconds:g} s")
        else:
            self.transport.close()

    def _refuse_long_head(self) -> None:
        self._refuse(431, f"the head is longer than {_MAX_HEAD_BYTES} bytes")

    def _refuse(self, status: int, detail: str) -> None:
        """Answers what is being read and closes; answers to what came before it go first."""
        self._refused = True
        self._head = b""
        cycle = self.cycle
        if cycle and not cycle.response_complete and (self.pipeline or not self._in_body):
            cycle.keep_alive = False
            return
        if not (self._in_body and cycle.response_started):
            body = json.dumps(problem(status, detail).model_dump(exclude_none=True)).encode()
            headers = (
                (b"content-type", MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
                *SECURITY_HEADERS,
            )
            head = b"".join(b"%b: %b\r\n" % header for header in headers)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()
