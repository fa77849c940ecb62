"""How many requests an API key may make, counted in this process alone."""

import math
import time
from collections.abc import Mapping
from typing import Final

from service.errors import RateLimitError

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


class RateLimit:
    """A maximum of requests per window; a key's window starts with its first request.

    Not from a library: those go by the time of day, and a clock that is set back by an hour would
    lock a key out for an hour.
    """

    def __init__(self, rate: str) -> None:
        """``rate`` is as in ``600/minute``."""
        quota, _, window = rate.partition("/")
        self._rate = rate
        self._quota = int(quota)
        self._window = _SECONDS[window]
        # By key, when its window ends and its requests within it.
        self._counts: dict[str, tuple[float, int]] = {}
        # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        self._policy = f'"key";q={self._quota};w={self._window}'

    def count_request(self, name: str) -> Mapping[str, str]:
        """Count a request of the key of this name; return the headers that tell what is left.

        Raises:
            RateLimitError: the key exceeded its rate; it has these headers too.
        """
        now = time.monotonic()
        ends, made = self._counts.get(name, (0.0, 0))
        if now >= ends:
            ends, made = now + self._window, 0
        made += 1
        self._counts[name] = ends, made
        left = max(0, self._quota - made)
        # Rounded, since a sum of such numbers may be more than its parts by the last digit.
        seconds = str(max(1, math.ceil(round(ends - now, 3))))
        headers = {
            "ratelimit-policy": self._policy,
            "ratelimit": f'"key";r={left};t={seconds}',
        }
        if made > self._quota:
            raise RateLimitError(
                f"this key has made {self._rate} requests; try again later",
                {**headers, "retry-after": seconds},
            )
        return headers
