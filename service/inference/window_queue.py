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

# The first of those that wait, among which a run looks for near lengths.
_MAX_WINDOWS_COMPARED = 256


@dataclass(slots=True, eq=False)
class Entry:
    """The windows of one request that wait, by their rows in its answer, and whose they are."""

    client: str
    windows: dict[int, tuple[int, ...]]
    begun: bool = field(default=False, init=False)
    ids: int = field(init=False)  # of the windows that wait

    def __post_init__(self) -> None:
        self.ids = sum(map(len, self.windows.values()))


AnyEntry = TypeVar("AnyEntry", bound=Entry)


class _Rotation(Generic[AnyEntry]):
    """Entries that get turns: clients one after the other, and so the entries of each."""

    def __init__(self, most_ids: int | None = None) -> None:
        """``ids`` counts no more than ``most_ids`` of an entry."""
        self._most_ids = most_ids
        self._entries: dict[str, dict[AnyEntry, None]] = {}
        self.ids: Counter[str] = Counter()  # by client

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[AnyEntry]:
        return chain.from_iterable(self._entries.values())

    def _counted(self, entry: AnyEntry) -> int:
        return entry.ids if self._most_ids is None else min(entry.ids, self._most_ids)

    def add(self, entry: AnyEntry) -> None:
        """Gives the entry the last turn of its client."""
        self._entries.setdefault(entry.client, {})[entry] = None
        self.ids[entry.client] += self._counted(entry)

    def remove(self, entry: AnyEntry) -> None:
        """Takes the entry out. Its windows must be those that it was added with."""
        entries = self._entries[entry.client]
        del entries[entry]
        self.ids[entry.client] -= self._counted(entry)
        if not entries:
            del self._entries[entry.client], self.ids[entry.client]

    def next(self) -> AnyEntry:
        """The entry whose turn it is; its client's next turn comes after all others'."""
        client = next(iter(self._entries))
        entries = self._entries.pop(client)
        self._entries[client] = entries
        return next(iter(entries))


class _Lane(Generic[AnyEntry]):
    """Entries of which nothing has run yet, and those of which something has, taking turns."""

    def __init__(self) -> None:
        # What of a new entry runs before another's turn is a run at most.
        self.new: _Rotation[AnyEntry] = _Rotation(most_ids=BATCH_IDS)
        self.begun: _Rotation[AnyEntry] = _Rotation()
        self._new_turn = True
        self.held = FairShare()  # ids that wait

    def __bool__(self) -> bool:
        return bool(self.new or self.begun)

    def __iter__(self) -> Iterator[AnyEntry]:
        return chain(self.new, self.begun)

    def rotation(self, entry: AnyEntry) -> _Rotation[AnyEntry]:
        return self.begun if entry.begun else self.new

    def next(self) -> AnyEntry:
        new = bool(self.new) and (self._new_turn or not self.begun)
        self._new_turn = not (new and self.begun)
        return (self.new if new else self.begun).next()


class WindowQueue(Generic[AnyEntry]):
    """Entries in two lanes, for requests and for bulk work, that get a run in turn.

    Within a lane, entries that have had no run and entries that have had one take turns, and
    within those the clients, and the entries of a client. So a short entry waits for a run or two,
    however much others have waiting and however many entries one client brings.
    """

    def __init__(self, batch_texts: int) -> None:
        """At most ``batch_texts`` windows run together."""
        self._batch_texts = batch_texts
        self._requests: _Lane[AnyEntry] = _Lane()
        self._bulk: _Lane[AnyEntry] = _Lane()
        self._bulk_turn = False

    def __bool__(self) -> bool:
        return bool(self._requests or self._bulk)

    def __iter__(self) -> Iterator[AnyEntry]:
        return chain(self._requests, self._bulk)

    def _lane(self, *, bulk: bool) -> _Lane[AnyEntry]:
        return self._bulk if bulk else self._requests

    def held(self, *, bulk: bool) -> FairShare:
        """The ids that each client has waiting in a lane."""
        return self._lane(bulk=bulk).held

    def ids_before(self, client: str) -> int:
        """About how many ids run before a short request of ``client`` that came now.

        Those of its client's own new requests, as many of each other client's, as many that belong
        to requests that have begun, and as many in bulk; each time a run more, for the turn taken.
        """
        new = self._requests.new.ids
        own = new.get(client, 0)
        before = own + sum(
            min(ids, own + BATCH_IDS) for other, ids in new.items() if other != client
        )
        before += min(self._requests.begun.ids.total(), before + BATCH_IDS)
        return before + min(self._bulk.held.total, before + BATCH_IDS)

    def add(self, entry: AnyEntry, *, bulk: bool = False) -> None:
        """Queues an entry with at least one window."""
        lane = self._lane(bulk=bulk)
        lane.new.add(entry)
        lane.held.take(entry.client, entry.ids)

    def discard(self, entry: AnyEntry, *, bulk: bool = False) -> None:
        """Drops what is left of an entry, if anything is."""
        if entry.windows:
            lane = self._lane(bulk=bulk)
            lane.rotation(entry).remove(entry)
            lane.held.give_back(entry.client, entry.ids)
            entry.windows.clear()

    def take(self) -> list[tuple[AnyEntry, int, tuple[int, ...]]]:
        """Takes the windows of the next run out of a queue that is not empty.

        Returns:
            Each window with its entry and its row there: the first of the entry whose turn it is,
            and those of near length among the first that wait in its lane.
        """
        bulk = bool(self._bulk) and (self._bulk_turn or not self._requests)
        self._bulk_turn = not bulk
        lane = self._lane(bulk=bulk)
        first = lane.next()
        entries = chain([first], (entry for entry in lane if entry is not first))
        windows = ((entry, row, ids) for entry in entries for row, ids in entry.windows.items())
        waiting = list(islice(windows, _MAX_WINDOWS_COMPARED))
        groups = group_by_length([len(ids) for _, _, ids in waiting], self._batch_texts)
        run = [waiting[index] for index in next(group for group in groups if 0 in group)]
        taken: dict[AnyEntry, list[int]] = {}
        for entry, row, _ in run:
            taken.setdefault(entry, []).append(row)
        for entry, rows in taken.items():
            lane.rotation(entry).remove(entry)
            for row in rows:
                ids = len(entry.windows.pop(row))
                entry.ids -= ids
                lane.held.give_back(entry.client, ids)
            entry.begun = True
            if entry.windows:
                lane.begun.add(entry)
        return run
