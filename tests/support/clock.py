"""Waiting for conditions, however long a busy machine takes to meet them."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds, while the event loop turns."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, "the condition was never met"
        await asyncio.sleep(0.002)


def wait_for(condition: Callable[[], object]) -> None:
    """Returns once the condition holds."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, "the condition was never met"
        time.sleep(0.05)
