"""``/livez``, ``/readyz`` and ``/metrics`` from a thread and a port of their own.

The event loop answers a probe in its turn, behind every request that came before. Under overload
that takes long, and whoever watches must not mistake busy for dead.
"""

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Protocol

from service.errors import MEDIA_TYPE, problem
from service.middleware import SECURITY_HEADERS
from service.schemas import Alive, Health

_HANGS = "the event loop or an inference hangs"


class Probed(Protocol):
    """What probes ask about: the service of a process, or several worker processes."""

    @property
    def hangs(self) -> bool:
        """Whether it has stopped for so long that it never will go on."""
        ...

    def health(self) -> Health:
        """The status with its reason."""
        ...

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The metrics in the format that ``accept`` asks for, and its type."""
        ...


class ProbeServer:
    """Answers probes until it is closed."""

    def __init__(self, service: Probed, host: str, port: int) -> None:
        """Listens at once; 0 takes a free port.

        Raises:
            OSError: the port cannot be had.
        """

        class Handler(_Handler):
            probed = service

        self._server = _Server((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, name="probes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    probed: Probed
    protocol_version = "HTTP/1.1"
    timeout = 10  # a connection that says nothing for so long is let go

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/livez":
            if self.probed.hangs:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, _HANGS)
            else:
                self._answer(HTTPStatus.OK, Alive().model_dump_json().encode(), "application/json")
        elif path == "/readyz":
            health = self.probed.health()
            if health.status == "ready" and not self.probed.hangs:
                self._answer(HTTPStatus.OK, health.model_dump_json().encode(), "application/json")
            else:
                detail = _HANGS if self.probed.hangs else health.detail
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, detail)
        elif path == "/metrics":
            content, media_type = self.probed.expose(self.headers.get("accept", ""))
            self._answer(HTTPStatus.OK, content, media_type)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "this port has /livez, /readyz and /metrics alone")

    do_HEAD = do_GET  # noqa: N815 (as above)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        body = problem(status, detail).model_dump_json(exclude_none=True)
        self._answer(status, body.encode(), MEDIA_TYPE)

    def _answer(self, status: HTTPStatus, content: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in SECURITY_HEADERS:
            self.send_header(name.decode(), value.decode())
        super().end_headers()

    def version_string(self) -> str:
        return "zh-sentiment"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Probes are not logged: they come every few seconds."""
