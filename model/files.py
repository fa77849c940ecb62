"""Reading files that others wrote: whatever lies in their place, nothing waits or grows."""

import csv
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _csv import Reader

# Of a CSV file, in characters; the standard library's own limit is 131,072.
MAX_FIELD_CHARACTERS: Final = 16 * 1024 * 1024


def read_file(path: Path, limit: int) -> bytes:
    """The content of a regular file that has at most ``limit`` bytes.

    Raises:
        OSError: there is none, or it cannot be read; ``strerror`` says why.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        content = file.read(limit + 1) if status.st_size <= limit else b""
        size = max(status.st_size, len(content))  # it may grow meanwhile
        if size > limit:
            reason = f"it has {size} bytes; at most {limit} are read"
            raise OSError(errno.EFBIG, reason, str(path))
        return content


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file; a FIFO in its place would otherwise wait for whoever writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def csv_rows(lines: Iterable[str], delimiter: str = ",") -> "Reader":
    """A reader of strict CSV whose fields may have ``MAX_FIELD_CHARACTERS`` characters."""
    # There is one limit in a process, so whoever reads sets it, and not whoever is imported.
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    return csv.reader(lines, delimiter=delimiter, strict=True)
