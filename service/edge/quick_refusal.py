"""Refusing requests on the wire while there is no room for them."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from service.edge.request import request_id_of
from service.errors import QUEUE_FULL, QueueFullError
from service.exchange import client_of
from service.headers import NO_STORE, SECURITY_HEADERS, header_lines
from service.problems import MEDIA_TYPE, problem_of
from service.state import Service

logger = logging.getLogger("service.access")

# With one of these, more than the address decides whose a request is, or how it is answered.
_UNUSUAL: Final = frozenset({b"expect", b"origin", b"x-forwarded-for"})
_ID = "\0"


class QuickRefusal:
    """Tells from the head of a request whether the queue is full for its client, and how to say so.

    Under overload most requests are refused, so their refusals decide how many others are answered,
    and how soon. The layers around the routes take a third of an answer's time for one; this takes
    a tenth. Requests that need a closer look are left to those layers.
    """

    def __init__(self, service: Service, paths: Iterable[str]) -> None:
        """``paths`` are those to the model, without parameters, whose requests are refused here."""
        self._service = service
        self._problems = {path.encode(): _problem(path) for path in paths}
        self._refused: Counter[bytes] = Counter()

    def response(
        self, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]], address: str
    ) -> bytes | None:
        """Return the response to a request that is refused, after its status line, or None."""
        if method != b"POST" or target not in self._problems:
            return None
        if self._service.keys or self._service.draining:
            return None
        if self._service.models.has_room(client_of(address)):
            return None
        given = b""
        for name, value in headers:
            if name in _UNUSUAL:
                return None
            if name == b"x-request-id":
                given = value
        self._refused[target] += 1
        self._service.models.pace.count_refusal()
        request_id = request_id_of(given.decode("latin-1")).encode()
        start, end = self._problems[target]
        length = len(start) + len(request_id) + len(end)
        return b"%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n%b%b%b" % (
            _HEADERS,
            length,
            request_id,
            start,
            request_id,
            end,
        )

    def tell(self) -> None:
        """Count and log what was refused since the last time; called every second."""
        refused, self._refused = self._refused, Counter()
        for path, requests in refused.items():
            route = path.decode()
            self._service.metrics.observe_refused(route, _ERROR, requests)
            fields = {"route": route, "status": _ERROR.status.value, "requests": requests}
            logger.info("requests refused", extra={"fields": fields})


_ERROR: Final = QueueFullError(QUEUE_FULL)
_HEADERS: Final = header_lines(
    (
        (b"content-type", MEDIA_TYPE.encode()),
        *((name.encode(), value.encode()) for name, value in _ERROR.fixed_headers.items()),
        *SECURITY_HEADERS,
        NO_STORE,
    )
)


def _problem(path: str) -> tuple[bytes, bytes]:
    """Return the body before and after the request's id."""
    body = problem_of(_ERROR).model_copy(update={"instance": path, "request_id": _ID})
    start, end = json.dumps(body.model_dump(exclude_none=True)).split(json.dumps(_ID)[1:-1])
    return start.encode(), end.encode()
