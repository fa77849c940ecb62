"""What stands between the protocol and its connection: when more is read, and when it is sent."""

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl


class TurnFlowControl(FlowControl):
    """Reads no more of a client while something of it is still to be parsed, or once stopped."""

    unparsed = b""
    _stopped = False

    def stop_reading(self) -> None:
        """Read nothing more, for good."""
        self._stopped = True
        self.pause_reading()

    def resume_reading(self) -> None:
        """See ``FlowControl.resume_reading``."""
        if not (self.unparsed or self._stopped):
            super().resume_reading()


class JoiningTransport:
    """A transport that sends what is written in one turn of the event loop together.

    uvicorn writes the head of a response and its body one after the other: each would cost a
    system call, and wake the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """See ``asyncio.Transport.write``; uvloop raises an error if it is closed."""
        if self._transport.is_closing():
            return
        self._held.append(data)
        if len(self._held) == 1:
            self._loop.call_soon(self.flush)
        else:
            self.flush()

    def flush(self) -> None:
        """Send what has been written."""
        held, self._held = self._held, []
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """See ``asyncio.Transport.close``."""
        self.flush()
        self._transport.close()
