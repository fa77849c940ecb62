"""What requests cost the event loop, from which follows how many may be in flight."""

import time
from typing import Final

# Until the loop has been busy: what a text costs on a processor of 2024.
_FIRST_SECONDS_PER_TEXT = 0.0001
# What a request costs beside its texts, and what a refusal costs, in texts.
_REQUEST: Final = 2
_REFUSAL: Final = 0.5
# Further texts hold up nobody: many are encoded in a thread, a few at a time.
_MAX_TEXTS: Final = 32
# Only a busy loop tells: an idle one spends its time on other things than requests.
_BUSY = 0.5
# The weight that the past keeps at each look; one comes every tenth of a second.
_DECAY = 0.8


def loop_work(texts: int) -> int:
    """Return for how much a request of so many texts holds up the event loop, in texts."""
    return _REQUEST + min(texts, _MAX_TEXTS)


class LoopPace:
    """The processor time of the event loop per text, a request counting as some texts more.

    The engine's queue shows how long a text waits for the engine. But requests wait for the event
    loop, too, which receives, encodes and answers them one after the other, and refuses others
    meanwhile; with a small network, that is where they wait.
    """

    def __init__(self) -> None:
        """It is made, and asked, in the event loop's thread."""
        self._work = 0.0
        self._looked = time.perf_counter()
        self._spent = time.thread_time()
        self.seconds_per_text = _FIRST_SECONDS_PER_TEXT

    def count(self, work: int) -> None:
        """Count work that is done, or given up; see ``loop_work``."""
        self._work += work

    def count_refusal(self) -> None:
        """Count a request that was refused."""
        self._work += _REFUSAL

    def look(self) -> None:
        """Learn from what was done since the last look."""
        now, spent = time.perf_counter(), time.thread_time()
        seconds = spent - self._spent
        if self._work and seconds >= _BUSY * (now - self._looked):
            per_text = seconds / self._work
            self.seconds_per_text += (1 - _DECAY) * (per_text - self.seconds_per_text)
        self._work, self._looked, self._spent = 0.0, now, spent
