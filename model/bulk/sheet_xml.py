"""Cells appended to the rows of a sheet's XML, of which every other byte stays."""

from collections.abc import Iterator, Sequence
from gettext import gettext as _
from typing import IO, Any, Final
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape

from model.errors import DataError

_BLOCK: Final = 64 * 1024


class SheetEditor:
    """Copies the XML of a sheet and adds cells where rows end."""

    def __init__(
        self, target: IO[bytes], cells: Iterator[tuple[int, Sequence[object]]], column: int
    ) -> None:
        """Take what to add.

        Args:
            target: gets the copy.
            cells: the numbers of rows, in their order, and the cells to add to each.
            column: of the first added cell, from 1.
        """
        from openpyxl.utils import get_column_letter

        self._target = target
        self._cells = cells
        self._next = next(cells, None)
        self._letters = [get_column_letter(column + offset) for offset in range(6)]
        self._row = 0
        self._waiting = bytearray()
        self._written = 0  # bytes of the source that have been copied
        self._parser: Any = ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def copy(self, source: IO[bytes]) -> None:
        """Copy a sheet.

        Raises:
            DataError: its XML is broken, or has not the rows that get cells.
        """
        try:
            while block := source.read(_BLOCK):
                self._waiting += block
                self._parser.Parse(block, False)
            self._parser.Parse(b"", True)
        except ExpatError as error:
            raise DataError(
                _("the XML of its sheet is broken: {error}").format(error=error)
            ) from None
        if self._next is not None:
            raise DataError(
                _("the XML of its sheet has its row {next} in another place").format(
                    next=self._next[0]
                )
            )
        self._target.write(self._waiting)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._copy_to(self._parser.CurrentByteIndex)
        if name.rpartition(":")[2] == "row":
            self._row = int(attributes.get("r", self._row + 1))

    def _end(self, name: str) -> None:
        # Of the tag that ends the element or, if one tag is all of it, of what follows.
        position = self._parser.CurrentByteIndex
        offset = position - self._written
        end_tag = b"</" + name.encode()
        has_end_tag = self._waiting[offset : offset + len(end_tag)] == end_tag
        prefix, _colon, local = name.rpartition(":")
        if local == "dimension":  # would be too narrow; it may be left out
            self._skip(self._waiting.index(b">", offset) + 1 if has_end_tag else offset)
            return
        self._copy_to(position)
        if local == "row" and self._next is not None and self._row == self._next[0]:
            if not has_end_tag:
                raise DataError(_("row {row} of its sheet has no cells").format(row=self._row))
            self._target.write(self._added(f"{prefix}:" if prefix else "", self._next[1]))
            self._next = next(self._cells, None)

    def _added(self, prefix: str, cells: Sequence[object]) -> bytes:
        made = []
        for letter, value in zip(self._letters, cells, strict=True):
            start = f'<{prefix}c r="{letter}{self._row}"'
            if isinstance(value, bool):
                made.append(f'{start} t="b"><{prefix}v>{int(value)}</{prefix}v></{prefix}c>')
            elif isinstance(value, float):
                made.append(f"{start}><{prefix}v>{value}</{prefix}v></{prefix}c>")
            else:
                text = f'<{prefix}t xml:space="preserve">{escape(str(value))}</{prefix}t>'
                inline = f"<{prefix}is>{text}</{prefix}is>"
                made.append(f'{start} t="inlineStr">{inline}</{prefix}c>')
        return "".join(made).encode()

    def _copy_to(self, position: int) -> None:
        length = position - self._written
        if length > 0:
            self._target.write(self._waiting[:length])
            self._skip(length)

    def _skip(self, length: int) -> None:
        del self._waiting[:length]
        self._written += length
