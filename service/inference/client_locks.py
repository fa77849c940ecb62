"""A lock for each client, so that clients take turns at what one of them may do at a time."""

import asyncio
from weakref import WeakValueDictionary


class ClientLocks:
    """Locks by client, each first come, first served, and kept while anybody holds it or waits."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, client: str) -> asyncio.Lock:
        """Return the client's lock."""
        lock = self._locks.get(client)
        if lock is None:
            lock = self._locks[client] = asyncio.Lock()
        return lock
