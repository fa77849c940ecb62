"""How many requests a key may make, counted in this process alone."""

import math
import time

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from service.errors import RateLimitError

Headers = list[tuple[bytes, bytes]]


class RateLimit:
    """So many requests in a window, which begins with a key's first request."""

    def __init__(self, rate: str) -> None:
        """``rate`` is as in ``600/minute``."""
        self._rate = rate
        self._item = parse(rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        self._policy = f'"key";q={self._item.amount};w={self._item.get_expiry()}'.encode()

    async def count(self, name: str, headers: Headers) -> None:
        """Counts a request of the key of this name; adds what its answer tells about the rate.

        Raises:
            RateLimitError: it is one too many.
        """
        admitted = await self._limiter.hit(self._item, name)
        reset, left = await self._limiter.get_window_stats(self._item, name)
        seconds = max(1, math.ceil(reset - time.time()))
        headers.append((b"ratelimit-policy", self._policy))
        headers.append((b"ratelimit", f'"key";r={left};t={seconds}'.encode()))
        if not admitted:
            headers.append((b"retry-after", str(seconds).encode()))
            raise RateLimitError(f"this key has made {self._rate} requests; try again later")
