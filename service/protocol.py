"""HTTP as it comes over the wire, but for offers to speak another protocol."""

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_END = b"\r\n\r\n"
# A longer head is the parser's affair, as it comes.
_LONGEST_HEAD = 64 * 1024
_UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
# As long as what it stands for: nothing that is counted by length may ever move.
_IGNORED = b"\r\nignored"


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, which takes no offer to upgrade, and loses no body over it.

    A server may ignore such an offer (RFC 9110, 7.8). Java's own client makes one with its first
    request, for HTTP/2, and the parser would leave out whatever follows the head. So the header
    gets another name, in heads alone: a body is never looked at.
    """

    _in_message = False
    _head = b""

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol.data_received``."""
        if not self._in_message:
            self._unset_keepalive_if_required()
            data = self._head + data
            head, end, rest = data.partition(_END)
            if not end and len(data) <= _LONGEST_HEAD:
                self._head = data
                return
            self._head = b""
            if end:
                data = _UPGRADE.sub(_IGNORED, head) + end + rest
        super().data_received(data)

    def on_message_begin(self) -> None:
        """What follows is of this message, to its end."""
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """What follows is the head of another."""
        self._in_message = False
        super().on_message_complete()
