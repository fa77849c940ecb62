"""Checks of ``Host`` and ``Origin``: headers that a browser sends and a page cannot forge."""

import ipaddress
import re
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache

from starlette.types import Scope

from service.errors import ForeignOriginError, InvalidHeadersError, MisdirectedRequestError
from service.headers import media_type_of

ANY = "*"
# RFC 9112, 3.2, and RFC 3986, 3.2.2
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(?::[0-9]*)?", re.ASCII)
# Of two such headers a proxy may believe one and the service the other.
_SINGLE = frozenset({b"host", b"authorization", b"content-type"})
# What a page may send to any origin without a preflight (https://fetch.spec.whatwg.org/).
_WITHOUT_PREFLIGHT = frozenset(
    {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"}
)


@lru_cache(maxsize=64)  # most requests have one of few hosts
def is_loopback(host: str) -> bool:
    """Return whether a name or an address, in brackets or not, is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Hosts:
    """The names that the service answers to.

    Against DNS rebinding: a page may have its own name resolve to any address, this machine's too,
    and then shares an origin with what answers there. Only ``Host`` tells.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """``patterns`` are names, ``*.`` before a name for all below it, or ``*`` for any."""
        self._any = ANY in patterns
        self._names = frozenset(pattern.lower() for pattern in patterns)
        self._ends = tuple(name[1:] for name in self._names if name.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Check that the headers of a request are unambiguous and ask for one of the names.

        Raises:
            InvalidHeadersError: a header appears twice, or ``Host`` is missing or invalid.
            MisdirectedRequestError: ``Host`` is not one of the names.
        """
        single = [header for header in scope["headers"] if header[0] in _SINGLE]
        if len(single) > 1 and len({name for name, _ in single}) < len(single):
            raise InvalidHeadersError("send Host, Authorization and Content-Type once each")
        given = next((value for name, value in single if name == b"host"), None)
        if given is None:
            if scope["http_version"] == "1.1":
                raise InvalidHeadersError("send a Host header")
            return
        found = _HOST.fullmatch(given)
        if not found:
            raise InvalidHeadersError("the Host header is not a host with or without a port")
        if not self._any:
            self._check_name(found[1].decode().lower(), scope)

    def _check_name(self, name: str, scope: Scope) -> None:
        address = (scope.get("server") or ("",))[0]
        if not (
            name in self._names
            or name.endswith(self._ends)
            # Others cannot make these names resolve to an address of their own.
            or is_loopback(name)
            or name.strip("[]") == address
        ):
            raise MisdirectedRequestError(
                "the service does not answer to this Host; add it to SENTIMENT_ALLOWED_HOSTS if "
                "it should"
            )


def check_origin(method: str, headers: Mapping[bytes, str], allowed: Set[str]) -> None:
    """Check that no page of another origin sends this request without a preflight.

    Raises:
        ForeignOriginError: one does, and its origin is not in ``allowed``.
    """
    origin = headers.get(b"origin")
    if origin is None or method != "POST" or origin in allowed or ANY in allowed:
        return
    if media_type_of(headers.get(b"content-type", "")) not in _WITHOUT_PREFLIGHT:
        return
    scheme, _, page = origin.partition("://")
    port = ":443" if scheme == "https" else ":80"
    host = headers.get(b"host", "")
    if page.removesuffix(port).lower() != host.removesuffix(port).lower():
        raise ForeignOriginError(
            "a page of another origin must declare a content-type such as application/json; "
            "SENTIMENT_CORS_ORIGINS lists the origins that may send requests"
        )
