"""How much of something bounded each client may hold."""

from hypothesis import given
from hypothesis import strategies as st

from service.inference.fair_share import FairShare


def fill(share: FairShare, client: str, amount: int, limit: int, small: int = 0) -> int:
    """How often the client gets so much."""
    times = 0
    while share.admits(client, amount, limit, small):
        share.acquire(client, amount)
        times += 1
    return times


def test_each_client_may_hold_half_of_what_the_others_leave() -> None:
    share = FairShare()
    assert [fill(share, client, 1, 64, small=1) for client in "abc"] == [32, 16, 8]


def test_large_requests_leave_room_for_small_ones_of_their_client() -> None:
    share = FairShare()
    assert fill(share, "a", 8, 64) == 3
    assert fill(share, "a", 1, 64, small=1) == 8


def test_what_is_given_back_is_free_again() -> None:
    share = FairShare()
    share.acquire("a", 32)
    assert not share.admits("a", 1, 64, small=1)
    assert share.admits("b", 16, 64)
    share.release("a", 32)
    assert share.total == 0
    assert share.admits("a", 32, 64)


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 100)), max_size=200),
    st.integers(200, 2000),
)
def test_what_is_free_is_never_kept_from_a_newcomer(
    requests: list[tuple[str, int]], limit: int
) -> None:
    share = FairShare()
    for client, amount in requests:
        if share.admits(client, amount, limit, small=100):
            share.acquire(client, amount)
        assert share.total <= limit
    assert share.total == limit or share.admits("newcomer", 1, limit)
