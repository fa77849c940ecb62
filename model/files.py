"""Reads files written by others: never blocks on a FIFO, never reads past a limit."""

import csv
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _csv import Reader

# Maximum length of a CSV field; the standard library's default is 131,072.
MAX_FIELD_CHARACTERS: Final = 16 * 1024 * 1024


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: it is missing, not a regular file, too long, or unreadable; ``strerror`` says why.
    """
    with open(path, "rb", opener=_nonblocking_opener) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        content = file.read(limit + 1) if status.st_size <= limit else b""
        size = max(status.st_size, len(content))  # it may have grown since
        if size > limit:
            reason = f"it has {size} bytes; at most {limit} are read"
            raise OSError(errno.EFBIG, reason, str(path))
        return content


def _nonblocking_opener(path: str, flags: int) -> int:
    """Open a file without blocking; opening a FIFO would otherwise wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def csv_rows(lines: Iterable[str], delimiter: str = ",") -> "Reader":
    """Return a strict CSV reader that accepts fields of up to ``MAX_FIELD_CHARACTERS``."""
    # The limit is global to the process, so set it on every read rather than at import.
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    return csv.reader(lines, delimiter=delimiter, strict=True)
