"""Waiting for conditions, however long a busy machine takes."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition while the event loop runs."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, "the condition was never met"
        await asyncio.sleep(0.002)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends, "the condition was never met"
        time.sleep(0.05)
