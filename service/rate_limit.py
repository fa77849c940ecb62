"""How many requests a key may make, counted in this process alone."""

import math
import time
from typing import Final

from service.errors import RateLimitError

Headers = list[tuple[bytes, bytes]]

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


class RateLimit:
    """So many requests in a window, which begins with a key's first request.

    Counted here, since libraries go by the time of day: a clock that is set back by an hour would
    shut a key out for an hour.
    """

    def __init__(self, rate: str) -> None:
        """``rate`` is as in ``600/minute``."""
        most, _, window = rate.partition("/")
        self._rate = rate
        self._most = int(most)
        self._window = _SECONDS[window]
        # Of each key, when its window ends and its requests in it.
        self._counts: dict[str, tuple[float, int]] = {}
        # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        self._policy = f'"key";q={self._most};w={self._window}'.encode()

    def count(self, name: str, headers: Headers) -> None:
        """Counts a request of the key of this name; adds what its answer tells about the rate.

        Raises:
            RateLimitError: it is one too many.
        """
        now = time.monotonic()
        ends, made = self._counts.get(name, (0.0, 0))
        if now >= ends:
            ends, made = now + self._window, 0
        made += 1
        self._counts[name] = ends, made
        left = max(0, self._most - made)
        seconds = max(1, math.ceil(ends - now))
        headers.append((b"ratelimit-policy", self._policy))
        headers.append((b"ratelimit", f'"key";r={left};t={seconds}'.encode()))
        if made > self._most:
            headers.append((b"retry-after", str(seconds).encode()))
            raise RateLimitError(f"this key has made {self._rate} requests; try again later")
