"""What the streams of a process share."""

import asyncio


class Streams:
    """The turn in which a stream reads, and the end of all of them when the service shuts down."""

    def __init__(self) -> None:
        # Held for a turn of the event loop by the stream that reads.
        self.turn = asyncio.Lock()
        self.ended = asyncio.Event()

    def end(self) -> None:
        """Let streams read nothing more; what they have read is answered."""
        self.ended.set()
