"""What is known of a request and its response while it is on its way through the layers."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from service.adapters import Adapter
from service.headers import SECURITY_HEADERS, RawHeaders
from service.outcome import BatchOutcome

_SCOPE_KEY: Final = "service.exchange"


@dataclass(slots=True)
class Exchange:
    """A request and its response.

    The outermost layer makes it from the head of the request, inner layers and routes fill in the
    rest, and at the end the log line and the metrics are written from it.
    """

    request_id: str
    method: str  # GET for HEAD, which differs in nothing but the body
    is_head: bool
    path: str  # without the prefix that a proxy strips
    headers: Mapping[bytes, str]
    peer: str  # the address at the other end, or as a trusted proxy says
    adapter: Adapter | None = None  # that owns the path
    model_route: str | None = None  # the path template of a request to the model

    key_name: str | None = None
    rate_limit_headers: Mapping[str, str] = field(default_factory=dict)
    # The status sent, or that of the problem where an adapter's protocol sends all errors as 200.
    status: int = 0
    refusal: str | None = None  # the reason why the model gave no answer
    answer: BatchOutcome | None = None  # of the model, if it gave one
    answered_by_default: bool = True  # by the model that answers where a request names none
    stage_milliseconds: Mapping[str, float] = field(default_factory=dict)  # of the answer

    @property
    def client(self) -> str:
        """Whose request it is: the name of its API key, or its address where none is required."""
        return self.key_name or client_of(self.peer)

    def response_headers(self) -> RawHeaders:
        """Return the headers that any response to this request has."""
        rate_limit = [
            (name.encode(), value.encode()) for name, value in self.rate_limit_headers.items()
        ]
        headers = [(b"x-request-id", self.request_id.encode()), *SECURITY_HEADERS, *rate_limit]
        if self.stage_milliseconds:
            stages = self.stage_milliseconds.items()
            timing = ", ".join(f"{stage};dur={duration:.3f}" for stage, duration in stages)
            headers.append((b"server-timing", timing.encode()))
        return headers


def client_of(address: str) -> str:
    """Return whose an address is: of IPv6, a client usually has the whole /64 network."""
    if ":" in address:
        with suppress(ValueError):
            numeric = IPv6Address(address.partition("%")[0])
            return str(numeric.ipv4_mapped or IPv6Network((numeric, 64), strict=False))
    return address


def attach(exchange: Exchange, scope: Scope) -> None:
    """Make an exchange the one of this scope."""
    scope[_SCOPE_KEY] = exchange


def exchange_in(scope: Scope) -> Exchange:
    """Return the exchange of an ASGI scope."""
    exchange: Exchange = scope[_SCOPE_KEY]
    return exchange


def exchange_of(request: Request) -> Exchange:
    """Return the exchange of a request."""
    return exchange_in(request.scope)
