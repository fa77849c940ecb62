"""Reads files written by others, never blocking or past a limit; writes files that are whole."""

import csv
import errno
import mmap
import os
import stat
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from numpy.typing import NDArray

NOT_UTF8: Final = "the bytes are not UTF-8"
NOT_CLOSED: Final = "a quote is not closed"

# Maximum length of a CSV field; the standard library's default is 131,072.
MAX_FIELD_CHARACTERS: Final = 16 * 1024 * 1024


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Raises:
        OSError: it is missing, not a regular file, too long, or unreadable; ``strerror`` says why.
    """
    with open(path, "rb", opener=_nonblocking_opener) as file:
        return _content(file, path, limit)


def map_file(path: Path, limit: int) -> tuple[bytes, mmap.mmap]:
    """Return the content as ``read_file`` does, and the same file mapped into memory.

    What is written to the mapped memory never reaches the file.

    Raises:
        OSError: as ``read_file``, or the file is empty.
    """
    with open(path, "rb", opener=_nonblocking_opener) as file:
        content = _content(file, path, limit)
        try:
            return content, mmap.mmap(file.fileno(), len(content), access=mmap.ACCESS_COPY)
        except ValueError:
            raise OSError(errno.EINVAL, "it is empty or was cut short", str(path)) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which then takes the place of ``path``.

    An interruption leaves the old file whole, and a process that has it mapped keeps it.
    """
    unfinished = path.with_stem(f"{path.stem}.part")
    yield unfinished
    unfinished.replace(path)


def release_pages(arrays: Iterable[NDArray[Any]]) -> None:
    """Free the memory of arrays that are views of mapped files; using them again reads the file."""
    for mapped in {id(array.base): array.base for array in arrays}.values():
        if isinstance(mapped, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)


def _content(file: BinaryIO, path: Path, limit: int) -> bytes:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    size = status.st_size
    if size <= limit:
        # Not up to the limit at once: that makes room for as many bytes, which takes longer than
        # to read the weights.
        content = file.read(size + 1)
        if len(content) > size:  # it has grown since
            content += file.read(limit + 1 - len(content))
        size = len(content)
    if size > limit:
        reason = f"it has {size} bytes; at most {limit} are read"
        raise OSError(errno.EFBIG, reason, str(path))
    return content


def _nonblocking_opener(path: str, flags: int) -> int:
    """Open a file without blocking; opening a FIFO would otherwise wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


# What the standard library says of a broken row, and what its writer can understand.
_CSV_PROBLEMS: Final = (
    ("expected after", "a quote inside a quoted field is not doubled, or a quote is not closed"),
    ("unexpected end of data", NOT_CLOSED),
    ("new-line character", "a carriage return stands in a field without quotes"),
    ("field larger than", f"a field has more than {MAX_FIELD_CHARACTERS:,} characters"),
)


class CsvRecord(NamedTuple):
    """A row of a CSV file: its own bytes, and its fields or the problem why it has none."""

    line: int  # on which it begins, from 1
    raw: bytes
    fields: list[str]
    problem: str = ""


def csv_records(
    file: Iterable[bytes],
    delimiter: str = ",",
    decode: Callable[[bytes], str] = bytes.decode,
    not_decoded: str = NOT_UTF8,
    is_row: Callable[[bytes], bool] | None = None,
) -> Iterator[CsvRecord]:
    """Yield the rows of strict CSV, skipping blank lines and a byte order mark.

    A row that cannot be parsed takes its first line only: an unclosed quote would otherwise
    swallow every row after it. Fields may have ``MAX_FIELD_CHARACTERS`` characters.

    Args:
        file: the lines, with their ends.
        delimiter: the character between fields.
        decode: returns the text of a line, or raises ``UnicodeDecodeError``; UTF-8 by default.
        not_decoded: the problem of a row with a line that it does not decode.
        is_row: tells of a line inside quotes whether it is a row of its own, since the quotes are
            those of two rows, the first of which was never closed.
    """
    lines = _RecordLines(file, decode)
    # The limit is global to the process, so it is set here and not by an import.
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = next((why for told, why in _CSV_PROBLEMS if told in str(error)), str(error))
            yield CsvRecord(line, lines.push_back_all_but_first(), [], problem)
            continue
        if is_row and any(map(is_row, lines.taken[1:])):
            yield CsvRecord(line, lines.push_back_all_but_first(), [], NOT_CLOSED)
            continue
        raw = b"".join(lines.taken)
        if lines.broken:
            yield CsvRecord(line, raw, [], not_decoded)
        elif fields:
            yield CsvRecord(line, raw, fields)


class _RecordLines:
    """The decoded lines of a file for ``csv.reader``, with the raw lines of the current record."""

    def __init__(self, file: Iterable[bytes], decode: Callable[[bytes], str]) -> None:
        self._file = iter(file)
        self._decode = decode
        self._pushed_back: deque[bytes] = deque()
        self._next_line = 1
        self.taken: list[bytes] = []
        self.broken = False  # whether one of them cannot be decoded

    def __iter__(self) -> "_RecordLines":
        return self

    def __next__(self) -> str:
        raw = self._pushed_back.popleft() if self._pushed_back else next(self._file)
        content = raw.removeprefix(BOM_UTF8) if self._next_line == 1 else raw
        self._next_line += 1
        self.taken.append(raw)
        try:
            return self._decode(content)
        except UnicodeDecodeError:
            self.broken = True
            return content.decode("latin-1")  # in which quotes and delimiters stay what they are

    def begin_record(self) -> int:
        """Forget the lines of the last record, and return the number of the next line."""
        self.taken.clear()
        self.broken = False
        return self._next_line

    def push_back_all_but_first(self) -> bytes:
        """Return the record's first line; the others are read again."""
        first, *others = self.taken
        self._pushed_back.extendleft(reversed(others))
        self._next_line -= len(others)
        return first
