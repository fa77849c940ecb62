"""Accepting connections in the event loop, a bounded number of them per turn."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger(__name__)

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS = 1.0


class Acceptor:
    """Accepts the connections of a listening socket until it is closed.

    uvloop itself accepts one connection per turn of the event loop. Under overload a turn answers
    hundreds of requests, so new clients, probes among them, would wait for many seconds. asyncio
    accepts as many as its backlog, and logs as many lines where it is out of descriptors.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol_factory: Callable[[], asyncio.Protocol],
        per_turn: int,
    ) -> None:
        """Accept at most ``per_turn`` connections at once, so that a flood delays nothing else."""
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._protocol_factory = protocol_factory
        self._per_turn = per_turn
        self._connecting: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._start()

    def close(self) -> None:
        """Accept no more, and close the socket."""
        if self._retry:
            self._retry.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _start(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(self._per_turn):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                logger.warning("accepting no connections for a second: %s", error.strerror)
                self._loop.remove_reader(self._listening)
                self._retry = self._loop.call_later(_RETRY_SECONDS, self._start)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._connect(connection))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        with suppress(OSError):  # it was reset before it was served
            await self._loop.connect_accepted_socket(self._protocol_factory, connection)
