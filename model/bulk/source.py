"""The bytes of a file of text: unpacked, told from what is no text, decoded line by line."""

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from gettext import gettext as _
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Final, cast

from model.bulk.encodings import UTF_8, Encoding, check_readable, find_encoding
from model.errors import DataError

GZIP_SUFFIX: Final = ".gz"
# A line of a file, and so what is held in memory.
_MAX_LINE_BYTES: Final = 64 * 1024 * 1024
# What Parquet and workbooks, which are read from any place, may take once unpacked.
_MAX_UNPACKED_BYTES: Final = 4 * 1024**3
_BLOCK: Final = 64 * 1024
_MAGIC_BYTES: Final = 512
NOT_TABLES: Final = (
    (b"\xd0\xcf\x11\xe0", "an old binary Excel file (.xls) or has a password; save it as .xlsx"),
    (b"%PDF", "a PDF; copy its table into a spreadsheet"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"RIFF", "an image or a recording"),
    (b"7z\xbc\xaf", "a 7-Zip archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"BZh", "compressed by bzip2; unpack it"),
    (b"\xfd7zXZ", "compressed by xz; unpack it"),
    (b"(\xb5/\xfd", "compressed by Zstandard; unpack it"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV"),
)
_ZIP: Final = b"PK\x03\x04"
_WORKBOOK_PART: Final = "xl/workbook.xml"
_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_HTML: Final = (b"<!doctype html", b"<html", b"<table", b"<meta")


# What no text holds: half a surrogate pair.
BAD_BYTES: Final = "\udcff"


def _bad_bytes(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return BAD_BYTES, error.end


_MARK_BAD_BYTES: Final = "sentiment.bulk"
codecs.register_error(_MARK_BAD_BYTES, _bad_bytes)


def suffixes(path: Path) -> tuple[str, str]:
    """Return the suffix that names a file's form, and ``.gz`` or nothing, in lower case."""
    name = path.name.lower()
    packed = GZIP_SUFFIX if name.endswith(GZIP_SUFFIX) else ""
    return Path(name.removesuffix(packed)).suffix, packed


def check_content(path: Path, form: str) -> None:
    """Raise ``DataError`` if a file's first bytes are those of something else than its name says.

    Args:
        path: the file.
        form: the suffix that names its form.
    """
    if not path.is_file():
        raise DataError(_("it is not a file") if path.exists() else _("it does not exist"))
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    named_packed = suffixes(path)[1]
    if packed and not named_packed:
        raise DataError(
            _("it is compressed by gzip; name it {name}{gzip_suffix}").format(
                name=path.name, gzip_suffix=GZIP_SUFFIX
            )
        )
    if named_packed and not packed:
        raise DataError(_("it is not compressed by gzip, as its name says; rename it"))
    with opened(path) as file:
        start = file.read(_MAGIC_BYTES)
    found = next((what for magic, what in NOT_TABLES if start.startswith(magic)), None)
    if start.startswith(_ZIP) and not (form == ".xlsx" and is_workbook(path)):
        found = _("a zip archive; unpack it")
        if is_workbook(path):
            found = _("an Excel workbook; name it *.xlsx")
    elif start.startswith(_PARQUET) and form != ".parquet":
        found = _("Parquet; name it *.parquet")
    elif start.lstrip().lower().startswith(_HTML):
        found = _("a web page (HTML); open it in a spreadsheet and save it as .xlsx")
    if found:
        raise DataError(_("it is no table that can be read but {found}").format(found=_(found)))


def is_workbook(path: Path) -> bool:
    """Return whether a zip archive has the part that every workbook has."""
    try:
        with opened_anywhere(path) as file, zipfile.ZipFile(file) as archive:
            return _WORKBOOK_PART in map(str.lower, archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked as it is read if its name ends in ``.gz``.

    Raises:
        DataError: what is packed is damaged.
    """
    packed = suffixes(path)[1]
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(_("it cannot be unpacked: {error}").format(error=error)) from None


@contextmanager
def opened_anywhere(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that is read from any place; a packed one is unpacked into a temporary file.

    Raises:
        DataError: what is packed is damaged, or too long.
    """
    with opened(path) as file:
        if not suffixes(path)[1]:
            yield file
            return
        with TemporaryFile() as unpacked:
            while block := file.read(_BLOCK):
                if unpacked.tell() > _MAX_UNPACKED_BYTES:
                    raise DataError(
                        _("it has over {max_unpacked_bytes:,} bytes when unpacked").format(
                            max_unpacked_bytes=_MAX_UNPACKED_BYTES
                        )
                    )
                unpacked.write(block)
            unpacked.seek(0)
            yield unpacked


class TextSource:
    """A file of text: its encoding, and its lines as bytes."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        """Find the encoding of a file, unless it is given.

        Raises:
            DataError: it is not text, or the encoding cannot be used.
        """
        self.path = path
        with opened(path) as file:
            sample, whole = _sample(file)
        self.encoding: Encoding = find_encoding(sample, whole, encoding)
        if encoding is None:
            check_readable(sample, self.encoding)
        mark = self.encoding.mark
        self.mark = mark if sample.startswith(mark) else b""
        self.start = sample[len(self.mark) : _BLOCK // 4 * 4].decode(
            self.encoding.codec, errors="replace"
        )
        # The last file of its kind was written by a spreadsheet of the nineties; some still do.
        feed, carriage = self.encoding.encode("\n"), self.encoding.encode("\r")
        self.line_end = carriage if feed not in sample and carriage in sample else feed

    @property
    def decode(self) -> Callable[[bytes], str]:
        """The function that returns the text of a line, or raises ``UnicodeDecodeError``."""
        return bytes.decode if self.encoding == UTF_8 else self.encoding.decode

    @cached_property
    def _unit(self) -> int:
        return len(self.line_end)

    def shown(self, raw: bytes) -> str:
        """Return bytes of the file for a person to read, without their line end."""
        return raw.decode(self.encoding.codec, errors="backslashreplace").rstrip("\r\n")

    def text(self, limit: int) -> str:
        """Return the whole text, with ``BAD_BYTES`` in place of bytes that are not decoded.

        Raises:
            DataError: it has more than ``limit`` bytes.
        """
        with opened(self.path) as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise DataError(
                _("it has more than {limit:,} bytes; save it as JSON Lines").format(limit=limit)
            )
        codec = self.encoding.codec
        return content[len(self.mark) :].decode(codec, errors=_MARK_BAD_BYTES)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines as they are, with their ends, but without a byte order mark.

        Raises:
            DataError: a line is too long to be held in memory.
        """
        with opened(self.path) as file:
            file.read(len(self.mark))
            if self.line_end == b"\n":
                while line := file.readline(_MAX_LINE_BYTES):
                    yield self._checked(line)
            else:
                yield from map(self._checked, self._split(file))

    def _checked(self, line: bytes) -> bytes:
        if len(line) >= _MAX_LINE_BYTES:
            raise DataError(
                _("it has a line of over {max_line_bytes:,} bytes").format(
                    max_line_bytes=_MAX_LINE_BYTES
                )
            )
        return line

    def _split(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield lines whose end is not one line feed, or whose characters have two bytes."""
        waiting = bytearray()
        searched = 0
        while block := file.read(_BLOCK):
            waiting += block
            while (end := self._end(waiting, searched)) is not None:
                yield bytes(waiting[:end])
                del waiting[:end]
                searched = 0
            searched = max(0, len(waiting) - len(waiting) % self._unit - self._unit)
            if len(waiting) >= _MAX_LINE_BYTES:
                break
        if waiting:
            yield bytes(waiting)

    def _end(self, waiting: bytearray, start: int) -> int | None:
        """Return the index behind the first line end from ``start`` on."""
        found = waiting.find(self.line_end, start)
        while found >= 0 and found % self._unit:  # two halves of characters
            found = waiting.find(self.line_end, found + 1)
        return None if found < 0 else found + self._unit

    @property
    def not_decoded(self) -> str:
        """The reason why a line cannot be read."""
        return f"the bytes are not {self.encoding.name}"

    def without_line_end(self, raw: bytes) -> tuple[bytes, bytes]:
        """Split a row's bytes into the row and its line end, which may be empty."""
        if self._unit == 1:
            row = raw.rstrip(b"\r\n")
            return row, raw[len(row) :]
        ends = [self.encoding.encode(sign) for sign in "\r\n"]
        length = len(raw)
        while length >= self._unit and raw[length - self._unit : length] in ends:
            length -= self._unit
        return raw[:length], raw[length:]


def _sample(file: BinaryIO) -> tuple[bytes, bool]:
    """Return the start of a file and then what is not ASCII, and whether that is all."""
    sample = bytearray(file.read(_BLOCK))
    evidence = 0 if sample.isascii() else len(sample)
    if len(sample) < _BLOCK:
        return bytes(sample), True
    while evidence < _BLOCK and (block := file.read(_BLOCK)):
        if not block.isascii():
            # From the first whole line on, lest a character be cut in two.
            sample += b"\n" + block.partition(b"\n")[2]
            evidence += len(block)
    return bytes(sample), False


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put a file's path before what is wrong with it, which the errors of tables leave out."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"{path}: {error}") from None
