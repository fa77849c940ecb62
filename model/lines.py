"""Lines of text from outside: split as they arrive, parsed as JSON, checked for lone surrogates."""

import json
from collections.abc import Iterator
from typing import Any


class LineError(ValueError):
    """A line is not UTF-8 or not JSON; the message says which."""


class LineSplitter:
    """Splits bytes that arrive in parts into lines, without their line feeds.

    ``max_bytes`` limits the length of a line, and so the memory that an unfinished one takes.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._unfinished: bytearray | None = bytearray()  # None while a long line is skipped

    def split(self, part: bytes, *, last: bool = False) -> Iterator[bytes | None]:
        """Yield the lines that a part completes; ``last`` completes the unfinished one too.

        A line over the maximum is yielded as ``None`` as soon as it is, and its rest is skipped.
        """
        for number, piece in enumerate(part.split(b"\n")):
            if number:  # a line feed precedes the piece
                if self._unfinished is not None:
                    yield bytes(self._unfinished)
                self._unfinished = bytearray()
            if self._unfinished is not None:
                self._unfinished += piece
                if self._max_bytes is not None and len(self._unfinished) > self._max_bytes:
                    yield None
                    self._unfinished = None
        if last and self._unfinished:
            yield bytes(self._unfinished)


def parse_json(line: bytes | str) -> Any:
    """Return the value of a line of JSON.

    Raises:
        LineError: it is not UTF-8, or not JSON.
    """
    try:
        return json.loads(line if isinstance(line, str) else line.decode())
    except UnicodeDecodeError:
        raise LineError("the line is not UTF-8") from None
    except (ValueError, RecursionError):  # also a number of thousands of digits, or deep nesting
        raise LineError("the line is not JSON") from None


def has_lone_surrogate(text: str) -> bool:
    """Return whether a text contains half of a surrogate pair, which no encoding can write.

    JSON can spell one as an escape.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
