"""HTTP as it comes over the wire, but for offers to speak another protocol."""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = re.compile(rb"[A-Z]+ [^\r\n]+ HTTP/1\.1\r\n")
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, which takes no offer to upgrade, and loses no body over it.

    A server may ignore such an offer (RFC 9110, 7.8). Java's own client makes one with its first
    request, for HTTP/2, and the parser would leave out whatever follows the head.
    """

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol.data_received``."""
        if (b"pgrade:" in data or b"PGRADE:" in data) and _HEAD.match(data):
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"", head) + end + rest
        super().data_received(data)
