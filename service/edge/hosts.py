"""By which name a request asks, and which page sends it: what a browser tells and cannot forge."""

import ipaddress
import re
from collections.abc import Mapping, Sequence, Set

from starlette.types import Scope

from service.errors import ForeignOriginError, InvalidHeadersError, MisdirectedRequestError

ANY = "*"
# RFC 9112, 3.2, and RFC 3986, 3.2.2
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[\w.~%!$&'()*+,;=-]*)(?::[0-9]*)?", re.ASCII)
# Two of them mean what the first reader makes of them, and a proxy may be the first.
_SINGLE = frozenset({b"host", b"authorization", b"content-type"})
# What a page may send to any origin without asking first (https://fetch.spec.whatwg.org/).
_UNASKED = frozenset({"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})


def is_loopback(host: str) -> bool:
    """Whether a name or an address, in brackets or not, is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Hosts:
    """The names that the service answers to.

    A page may have its own name resolve to any address, this machine's too, and then counts as of
    the same origin as what answers there. Only ``Host`` tells.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Those that fit a pattern: a name, ``*.`` before one for all below it, or ``*``."""
        self._any = ANY in patterns
        self._names = frozenset(pattern.lower() for pattern in patterns)
        self._ends = tuple(name[1:] for name in self._names if name.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Returns if the head of a request is unambiguous and asks one of them.

        Raises:
            InvalidHeadersError: a header appears twice, or ``Host`` is missing or invalid.
            MisdirectedRequestError: the service has another name.
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
            # Neither is a name that others could have resolve to something else.
            or is_loopback(name)
            or name.strip("[]") == address
        ):
            raise MisdirectedRequestError(
                "the service does not answer to this Host; SENTIMENT_ALLOWED_HOSTS names those "
                "that it does"
            )


def check_origin(method: str, headers: Mapping[bytes, str], allowed: Set[str]) -> None:
    """Returns unless a page of another origin sends this without having had to ask.

    Raises:
        ForeignOriginError: it does; ``allowed`` names origins that may.
    """
    origin = headers.get(b"origin")
    if origin is None or method != "POST" or origin in allowed or ANY in allowed:
        return
    media_type = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if media_type not in _UNASKED:
        return
    scheme, _, page = origin.partition("://")
    port = ":443" if scheme == "https" else ":80"
    host = headers.get(b"host", "")
    if page.removesuffix(port).lower() != host.removesuffix(port).lower():
        raise ForeignOriginError(
            "a page of another origin has to send its content-type, such as application/json; "
            "SENTIMENT_CORS_ORIGINS names origins that may ask"
        )
