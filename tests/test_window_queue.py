"""Which windows run next."""

from collections.abc import Sequence

from model.engines import BATCH_IDS
from service.inference.window_queue import Entry, WindowQueue

_QUEUE = WindowQueue[Entry]


def entry(lengths: Sequence[int], client: str = "somebody") -> Entry:
    return Entry(client, {row: (1,) * length for row, length in enumerate(lengths)})


def queue(*entries: Entry, bulk: Sequence[Entry] = (), batch_texts: int = 4) -> _QUEUE:
    waiting: _QUEUE = WindowQueue(batch_texts)
    for each in entries:
        waiting.add(each)
    for each in bulk:
        waiting.add(each, bulk=True)
    return waiting


def runs(waiting: _QUEUE, names: dict[Entry, str]) -> list[str]:
    """Whose windows run, a word a run, a letter a window, until none wait."""
    taken = []
    while run := waiting.take():
        taken.append("".join(sorted(names[each] for each, _, _ in run)))
    return taken


def test_every_window_runs_once_in_its_row() -> None:
    lengths = [3, 9, 1, 30, 2, 8, 7, 31, 4]
    one = entry(lengths)
    waiting = queue(one)
    seen = []
    while run := waiting.take():
        assert len(run) <= 4
        assert all(each is one for each, _, _ in run)
        seen += [(row, len(ids)) for _, row, ids in run]
    assert sorted(seen) == list(enumerate(lengths))
    assert waiting.queued(bulk=False).total == 0


def test_those_of_near_length_run_together_whoever_they_are_of() -> None:
    short, long, other = entry([2, 2]), entry([20, 18]), entry([2, 20], "other")
    assert runs(queue(short, long, other), {short: "s", long: "l", other: "o"}) == ["oss", "llo"]


def test_new_requests_go_before_the_rest_of_a_long_one() -> None:
    long = entry([20] * 12)
    waiting = queue(long)
    waiting.take()
    short = entry([1])
    waiting.add(short)
    waiting.add(another := entry([1]))
    assert runs(waiting, {long: "l", short: "s", another: "a"}) == ["as", "llll", "llll"]


def test_long_requests_share_what_new_ones_leave() -> None:
    first, second = entry([20] * 12), entry([60] * 8)
    waiting = queue(first, second)
    assert runs(waiting, {first: "f", second: "s"}) == ["ffff", "ssss", "ffff", "ssss", "ffff"]


def test_short_texts_do_not_run_beside_long_ones() -> None:
    lengths = [1, 80, 1, 80, 1]
    texts = [entry([length]) for length in lengths]
    names = {text: f"{length:02} " for text, length in zip(texts, lengths, strict=True)}
    assert runs(queue(*texts), names) == ["01 01 01 ", "80 80 "]


def test_nobody_waits_for_the_whole_of_a_long_request_nor_does_it_wait_for_all_others() -> None:
    long = entry([40] * 12)
    waiting = queue(long)
    waiting.take()
    requests = {length: entry([length]) for length in (1, 9, 100)}
    for request in requests.values():
        waiting.add(request)
    for _ in range(12):
        waiting.add(entry([10] * 4), bulk=True)
    names = {long: "long"} | {request: str(length) for length, request in requests.items()}
    ended = []
    while run := waiting.take():
        ended += [names[each] for each in {each for each, _, _ in run} if each in names]
    # A run of each in turn.
    assert ended == ["1", "long", "9", "long", "100"]


def test_clients_take_turns_however_many_requests_one_of_them_has() -> None:
    greedy = [entry([length], "greedy") for length in (5, 20, 80, 320) * 3]
    polite = entry([1], "polite")
    waiting = queue(*greedy, polite, batch_texts=1)
    names = dict.fromkeys(greedy, "g") | {polite: "p"}
    assert runs(waiting, names)[:3] == ["g", "p", "g"]


def test_requests_and_bulk_work_take_turns() -> None:
    asked = [entry([length]) for length in (1, 4, 16)]
    bulk = entry([64] * 12)
    names = dict.fromkeys(asked, "r") | {bulk: "b"}
    assert runs(queue(*asked, bulk=[bulk]), names) == ["r", "bbbb", "r", "bbbb", "r", "bbbb"]


def test_what_is_left_of_a_request_can_be_dropped() -> None:
    dropped, kept = entry([20] * 12), entry([1])
    waiting = queue(dropped, kept)
    waiting.take()
    waiting.discard(dropped)
    waiting.discard(dropped)
    assert runs(waiting, {kept: "k"}) == ["k"]
    waiting.discard(kept)  # nothing is left of it
    assert waiting.queued(bulk=False).total == 0


def test_a_short_request_has_little_before_it_whatever_one_client_has_waiting() -> None:
    waiting = queue()
    assert waiting.ids_ahead("polite") == 0
    waiting.add(entry([200] * 1000, "greedy"))
    assert waiting.ids_ahead("polite") == BATCH_IDS
    for _ in range(1000):
        waiting.add(entry([200] * 10, "greedy"))
        waiting.add(entry([200] * 10, "greedy"), bulk=True)
    waiting.take()
    # A run of new requests between two of those that have begun, and one of bulk work beside each.
    assert waiting.ids_ahead("polite") == 7 * BATCH_IDS
    assert waiting.ids_ahead("greedy") > 1000 * BATCH_IDS
