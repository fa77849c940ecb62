"""How much of something bounded each client may hold."""

import math
from collections import Counter


class FairShare:
    """What clients hold of something bounded: places in a queue, bytes, work.

    A client may hold half of what the others leave free (dynamic thresholds: Choudhury and Hahne,
    1998), so that however much one holds, there is room for the next. Beside what its client
    already holds, one request gets half of the rest, so that large ones leave room for small ones.
    """

    def __init__(self) -> None:
        self.total = 0
        self._held: Counter[str] = Counter()

    def admits(self, client: str, amount: int, limit: float, small: int = 0) -> bool:
        """Return whether the client may hold ``amount`` more, with ``limit`` for all together.

        An amount up to ``small`` may be the last that its client is entitled to.
        """
        if self.total + amount > limit:
            return False
        held = self._held.get(client, 0)
        room = math.ceil((limit - (self.total - held)) / 2) - held
        return amount <= (room / 2 if held and amount > small else room)

    def acquire(self, client: str, amount: int) -> None:
        """Let the client hold ``amount`` more."""
        self.total += amount
        self._held[client] += amount

    def release(self, client: str, amount: int) -> None:
        """Take ``amount`` back from the client."""
        self.total -= amount
        self._held[client] -= amount
        if not self._held[client]:
            del self._held[client]
