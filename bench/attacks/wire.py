"""Raw connections, and what answers on them."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from bench.attacks.shapes import CLOSED

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-9]\d\d) ")
# A service that is there answers within this.
PATIENCE = 20.0


class Target(NamedTuple):
    """Where the service listens."""

    host: str
    port: int


class Connection:
    """A connection that sends what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> bool:
        """Whether the service still takes it."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return not self.writer.is_closing()

    async def statuses(self, patience: float = PATIENCE, quiet: float = 0.2) -> list[str]:
        """Those of all answers, until the service closes or, after the first, is quiet.

        ``closed`` stands for a connection that ends without any, ``silent`` for one that does
        neither for so many seconds.
        """
        received = b""
        try:
            while True:
                async with asyncio.timeout(quiet if received else patience):
                    data = await self.reader.read(65536)
                if not data:
                    break
                received += data
        except TimeoutError:
            if not received:
                return ["silent"]
        except OSError:
            pass
        return [status.decode() for status in _STATUS_LINE.findall(received)] or [CLOSED]

    def reset(self) -> None:
        """Ends it at once; what was sent and not yet read is void."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Connection]:
    """A connection, which is closed at the end."""
    reader, writer = await asyncio.open_connection(*target)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def answers(target: Target, sent: bytes, quiet: float = 0.2) -> list[str]:
    """The statuses that answer what is sent on a connection of its own."""
    async with connected(target) as connection:
        sending = asyncio.create_task(connection.send(sent))  # the service need not take it all
        statuses = await connection.statuses(quiet=quiet)
        sending.cancel()
        await asyncio.wait([sending])
        return statuses
