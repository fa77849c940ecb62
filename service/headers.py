"""Headers that more than one layer reads or sends."""

from collections.abc import Iterable, Set
from typing import Final

RawHeaders = list[tuple[bytes, bytes]]

# On every response. The pages' own policy is in service/routes/pages.py.
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# Most responses hold a user's text.
NO_STORE: Final = (b"cache-control", b"no-store")
CLOSE: Final = (b"connection", b"close")


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are on the wire, each with the end of its line."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def media_type_of(content_type: str) -> str:
    """Return the media type in a ``Content-Type`` without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def allow_header(methods: Set[str]) -> str:
    """Return the value of ``Allow`` for the methods of a path, HEAD and OPTIONS included."""
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))
