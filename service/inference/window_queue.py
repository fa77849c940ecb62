"""The windows that wait for the engine, and the decision which of them run next.

Plain data without threads, event loop or clock.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Generic, TypeVar

from model.engines import BATCH_IDS, group_by_length
from service.inference.fair_share import FairShare

# A run is made of similar lengths among this many of the windows that wait, the first ones.
_MAX_WINDOWS_COMPARED = 256


@dataclass(slots=True, eq=False)
class Entry:
    """The waiting windows of one request, by their row in its result, and whose they are."""

    client: str
    windows: dict[int, tuple[int, ...]]
    started: bool = field(default=False, init=False)
    ids: int = field(init=False)  # of the windows that wait

    def __post_init__(self) -> None:
        self.ids = sum(map(len, self.windows.values()))


AnyEntry = TypeVar("AnyEntry", bound=Entry)


class _RoundRobin(Generic[AnyEntry]):
    """Entries that get turns: clients one after the other, and so the entries of each."""

    def __init__(self, max_ids: int | None = None) -> None:
        """``ids`` counts at most ``max_ids`` of an entry."""
        self._max_ids = max_ids
        self._entries: dict[str, dict[AnyEntry, None]] = {}
        self.ids: Counter[str] = Counter()  # by client

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[AnyEntry]:
        return chain.from_iterable(self._entries.values())

    def _counted(self, entry: AnyEntry) -> int:
        return entry.ids if self._max_ids is None else min(entry.ids, self._max_ids)

    def add(self, entry: AnyEntry) -> None:
        """Give the entry the last turn of its client."""
        self._entries.setdefault(entry.client, {})[entry] = None
        self.ids[entry.client] += self._counted(entry)

    def remove(self, entry: AnyEntry) -> None:
        """Take the entry out. Its windows must be those that it was added with."""
        entries = self._entries[entry.client]
        del entries[entry]
        self.ids[entry.client] -= self._counted(entry)
        if not entries:
            del self._entries[entry.client], self.ids[entry.client]

    def next(self) -> AnyEntry:
        """Return the entry whose turn it is; its client's next turn comes after all others'."""
        client = next(iter(self._entries))
        entries = self._entries.pop(client)
        self._entries[client] = entries
        return next(iter(entries))


class _TrafficClass(Generic[AnyEntry]):
    """Entries of which nothing has run yet and started ones, which take turns."""

    def __init__(self) -> None:
        # Of a new entry, one run at most goes before another's turn.
        self.new: _RoundRobin[AnyEntry] = _RoundRobin(max_ids=BATCH_IDS)
        self.started: _RoundRobin[AnyEntry] = _RoundRobin()
        self._prefer_new = True
        self.queued = FairShare()  # ids that wait

    def __bool__(self) -> bool:
        return bool(self.new or self.started)

    def __iter__(self) -> Iterator[AnyEntry]:
        return chain(self.new, self.started)

    def round_robin(self, entry: AnyEntry) -> _RoundRobin[AnyEntry]:
        return self.started if entry.started else self.new

    def next(self) -> AnyEntry:
        new = bool(self.new) and (self._prefer_new or not self.started)
        self._prefer_new = not (new and self.started)
        return (self.new if new else self.started).next()


class WindowQueue(Generic[AnyEntry]):
    """Entries in two classes, requests and bulk work, that take turns.

    Within a class, new entries and started ones take turns, within those the clients, and within
    a client its entries. So a short entry waits for a run or two, however much others have waiting
    and however many entries one client brings.
    """

    def __init__(self, max_batch_texts: int) -> None:
        """At most ``max_batch_texts`` windows run together."""
        self._max_batch_texts = max_batch_texts
        self._requests: _TrafficClass[AnyEntry] = _TrafficClass()
        self._bulk: _TrafficClass[AnyEntry] = _TrafficClass()
        self._prefer_bulk = False

    def __iter__(self) -> Iterator[AnyEntry]:
        return chain(self._requests, self._bulk)

    def _class(self, *, bulk: bool) -> _TrafficClass[AnyEntry]:
        return self._bulk if bulk else self._requests

    def queued(self, *, bulk: bool) -> FairShare:
        """Return the ids that each client has waiting in a class."""
        return self._class(bulk=bulk).queued

    def ids_ahead(self, client: str) -> int:
        """Estimate how many ids run before a short request of ``client`` that came now.

        Those of its client's own new requests, as many of each other client's, as many that belong
        to started requests, and as many in bulk; each time a run more, for the turn taken.
        """
        new = self._requests.new.ids
        own = new.get(client, 0)
        ahead = own + sum(
            min(ids, own + BATCH_IDS) for other, ids in new.items() if other != client
        )
        ahead += min(self._requests.started.ids.total(), ahead + BATCH_IDS)
        return ahead + min(self._bulk.queued.total, ahead + BATCH_IDS)

    def add(self, entry: AnyEntry, *, bulk: bool = False) -> None:
        """Queue an entry with at least one window."""
        traffic = self._class(bulk=bulk)
        traffic.new.add(entry)
        traffic.queued.acquire(entry.client, entry.ids)

    def discard(self, entry: AnyEntry, *, bulk: bool = False) -> None:
        """Drop what is left of an entry, if anything is."""
        if entry.windows:
            traffic = self._class(bulk=bulk)
            traffic.round_robin(entry).remove(entry)
            traffic.queued.release(entry.client, entry.ids)
            entry.windows.clear()

    def take(self) -> list[tuple[AnyEntry, int, tuple[int, ...]]]:
        """Take out the windows of the next run; none if none wait.

        Returns:
            Each window with its entry and its row there: the first of the entry whose turn it is,
            and those of similar length among the first that wait in its class.
        """
        bulk = bool(self._bulk) and (self._prefer_bulk or not self._requests)
        traffic = self._class(bulk=bulk)
        if not traffic:
            return []
        self._prefer_bulk = not bulk
        first = traffic.next()
        entries = chain([first], (entry for entry in traffic if entry is not first))
        windows = ((entry, row, ids) for entry in entries for row, ids in entry.windows.items())
        waiting = list(islice(windows, _MAX_WINDOWS_COMPARED))
        groups = group_by_length([len(ids) for _, _, ids in waiting], self._max_batch_texts)
        run = [waiting[index] for index in next(group for group in groups if 0 in group)]
        taken: dict[AnyEntry, list[int]] = {}
        for entry, row, _ in run:
            taken.setdefault(entry, []).append(row)
        for entry, rows in taken.items():
            traffic.round_robin(entry).remove(entry)
            for row in rows:
                ids = len(entry.windows.pop(row))
                entry.ids -= ids
                traffic.queued.release(entry.client, ids)
            entry.started = True
            if entry.windows:
                traffic.started.add(entry)
        return run
