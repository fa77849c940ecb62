"""Excel workbooks (.xlsx): read by openpyxl row by row, and labelled inside their own XML.

openpyxl reads a large workbook in little memory, but would write one anew from what it understands,
without the charts, pictures and formats that it does not. So the answers go into the XML of the
sheet, behind the cells of each row; every other byte of the sheet and every other part stays. Rows
that cannot be classified stay too, without an answer, since formulas refer to rows by number.
"""

import errno
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gettext import gettext as _
from itertools import islice
from pathlib import Path
from statistics import median
from typing import IO, Any, BinaryIO, Final, NamedTuple

from model.bulk.layout import Layout, find_layout, is_name_of_texts
from model.bulk.sheet_xml import SheetEditor
from model.bulk.source import opened_anywhere
from model.bulk.table import (
    WORKBOOK,
    OutputColumns,
    ReadOptions,
    Row,
    Understood,
    as_text,
    unique_index,
)
from model.errors import BLANK, DataError, one_line
from model.text.pipeline import is_blank

# What a workbook may take once unpacked: in all, and the part that is held in memory.
_MAX_UNPACKED_BYTES: Final = 2 * 1024**3
_MAX_STRINGS_BYTES: Final = 512 * 1024**2
_STRINGS: Final = "sharedstrings.xml"
_MAX_ROWS: Final = 1_048_576
_MAX_COLUMNS: Final = 16_384
# Rows that are looked at to find the layout.
_SAMPLE_ROWS: Final = 200
# How much of a sheet's XML is searched for formulas without results.
_SAMPLE_BYTES: Final = 1024 * 1024
# A cell with a formula alone. One whose result is an empty string says that it is a string.
_FORMULA_WITHOUT_RESULT: Final = re.compile(
    rb'<c r="([A-Z]{1,3})[0-9]+"(?:(?! t="str")[^<>])*><f\b[^<>]*(?:/>|>[^<]*</f>)'
    rb"(?:<v */>|<v></v>)?</c>"
)
# Where a part of the archive declares what XML it is.
_DECLARATION_BYTES: Final = 4096
_BLOCK: Final = 64 * 1024
_ESCAPE: Final = re.compile(r"_x[0-9A-Fa-f]{4}_")

_Values = tuple[Any, ...]


class _Position(NamedTuple):
    """Where a row stands in its sheet, from 1, and its cells."""

    sheet_row: int
    values: _Values


class WorkbookTable:
    """A sheet of a workbook: the one named, or the first that is a table with a column of texts."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        """Look at the first rows of the sheets.

        Raises:
            DataError: the file is damaged, no sheet is a table with a column of texts or has the
                name asked for, or the texts are formulas without results.
        """
        self._path = path
        self._width = 0
        if not path.stat().st_size:
            raise DataError(_("it is empty"))
        with self._opened() as workbook:
            self._choose(workbook, options)
            self._check_results(workbook)
            others = [sheet.title for sheet in _candidates(workbook) if sheet.title != self._sheet]
        self.understood = Understood(
            WORKBOOK,
            self.names[self._index],
            header=self._header,
            sheet=self._sheet,
            other_sheets=tuple(others),
        )

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        with self._opened() as workbook:
            positions = _filled_rows(workbook[self._sheet])
            number = 0
            for position in positions:
                self._width = max(self._width, len(position.values))
                if position.sheet_row < self._first_row:
                    continue
                number += 1
                yield self._row(number, position)

    def value(self, row: Row, name: str) -> object:
        """See ``Table.value``."""
        return self.values(row)[unique_index(self.names, name)]

    def values(self, row: Row) -> Sequence[object]:
        """See ``Table.values``."""
        width = len(self.names)
        values = row.fields.values[:width]
        return [*map(_plain, values), *[None] * (width - len(values))]

    def shown(self, row: Row) -> object:
        """See ``Table.shown``."""
        return {
            name: value
            for name, value in zip(self.names, self.values(row), strict=True)
            if value is not None
        }

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """Write the workbook with the answers behind the cells of the sheet; see ``Table.write``.

        Raises:
            DataError: the sheet has no room, or the archive cannot be copied.
        """
        if self._width + len(added) > _MAX_COLUMNS:
            raise DataError(
                _("a sheet has {max_columns:,} columns at most; name the output *.csv").format(
                    max_columns=_MAX_COLUMNS
                )
            )
        cells = self._cells(answers, added)
        with opened_anywhere(self._path) as own, _as_data_errors():
            source = zipfile.ZipFile(own)
            with source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
                for part in source.infolist():
                    same = zipfile.ZipInfo(part.filename, part.date_time)
                    same.compress_type = zipfile.ZIP_DEFLATED
                    with source.open(part) as content, target.open(same, "w") as copy:
                        if part.filename == self._part:
                            SheetEditor(copy, cells, self._width + 1).copy(content)
                        else:
                            while block := content.read(_BLOCK):
                                copy.write(block)

    def _cells(
        self, answers: Iterator[OutputColumns], added: Sequence[str]
    ) -> Iterator[tuple[int, Sequence[object]]]:
        """Yield the rows of the sheet that get cells, by their numbers, and the cells."""
        if self._header:
            yield self._first_row - 1, added
        for row in self.rows():
            if row.text is not None:
                yield row.fields.sheet_row, next(answers)

    def _row(self, number: int, position: _Position) -> Row:
        value = position.values[self._index] if self._index < len(position.values) else None
        text, reason = _text(value)
        return Row(number, text, reason, None, position)

    def _choose(self, workbook: Any, options: ReadOptions) -> None:
        """Take the first sheet with a column whose name is one of texts, or else the first."""
        chosen: tuple[Any, Layout, int] | None = None
        problem: DataError | None = None
        for sheet in _candidates(workbook, options.sheet):
            try:
                found = _look_at(sheet, options)
            except DataError as error:
                problem = problem or error
                continue
            if found is None:
                continue
            layout, first_row = found
            is_named = layout.header and is_name_of_texts(layout.names[layout.column])
            if is_named or not (chosen or problem):
                chosen = sheet, layout, first_row
            if is_named:
                break
        if chosen is None:
            raise problem or DataError("it has no sheet that is not empty or hidden")
        sheet, layout, self._first_row = chosen
        self._header = layout.header
        self.names: Sequence[str] = layout.names
        self._index = layout.column
        self._sheet = str(sheet.title)
        self._part = str(sheet._worksheet_path)

    def _check_results(self, workbook: Any) -> None:
        """Raise ``DataError`` if texts are formulas whose results the file does not hold.

        Programs that write a workbook without computing it leave them out, and the cells would
        pass for empty. The beginning of the sheet tells, since a column of formulas is one
        throughout.
        """
        from openpyxl.utils import column_index_from_string

        with workbook._archive.open(self._part) as sheet:
            beginning = sheet.read(_SAMPLE_BYTES)
        for match in _FORMULA_WITHOUT_RESULT.finditer(beginning):
            if column_index_from_string(match[1].decode()) == self._index + 1:
                raise DataError(
                    _(
                        "the formulas in column {column} have no results; open it in Excel and "
                        "save it again"
                    ).format(column=one_line(self.names[self._index]))
                )

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the workbook to read values.

        Raises:
            DataError: it is damaged, or too large.
        """
        import warnings

        import openpyxl

        # Of what it does not understand and so would not write; it writes nothing here.
        warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
        with opened_anywhere(self._path) as file, _as_data_errors():
            _check_archive(file)
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            try:
                yield workbook
            finally:
                workbook.close()


def _candidates(workbook: Any, name: str | None = None) -> list[Any]:
    """Return the sheets that may be read: the one named, or all that are not hidden.

    Raises:
        DataError: no sheet has the name.
    """
    if name is None:
        return [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
    named = [sheet for sheet in workbook.worksheets if sheet.title == name]
    if not named:
        known = _(", ").join(one_line(sheet.title) for sheet in workbook.worksheets)
        raise DataError(
            _("it has no sheet {name}; --sheet names one of {known}").format(
                name=one_line(name), known=known
            )
        )
    return named


def _look_at(sheet: Any, options: ReadOptions) -> tuple[Layout, int] | None:
    """Return the layout of a sheet that is not empty, and its first row below the header.

    Raises:
        DataError: it cannot be told which column holds the texts.
    """
    found = list(islice(_filled_rows(sheet), _SAMPLE_ROWS))
    if not found:
        return None
    # A title above the header fills one cell of many.
    width = median(_filled(position.values) for position in found)
    while len(found) > 1 and width > 1 and _filled(found[0].values) == 1:
        del found[0]
    most = max(len(position.values) for position in found)
    cells = [
        [as_text(_plain(value)) for value in position.values] + [""] * (most - len(position.values))
        for position in found
    ]
    layout = find_layout(cells, options)
    return layout, found[0].sheet_row + int(layout.header)


def _filled_rows(sheet: Any) -> Iterator[_Position]:
    """Yield the rows of a sheet that hold anything."""
    sheet.reset_dimensions()  # which some programs write wrongly
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        if number > _MAX_ROWS:
            raise DataError(_("it has more than {max_rows:,} rows").format(max_rows=_MAX_ROWS))
        if _filled(values):
            yield _Position(number, values)


def _filled(values: _Values) -> int:
    return sum(value is not None and value != "" for value in values)


def _plain(value: Any) -> Any:
    """Return a value with its text as it was typed."""
    if isinstance(value, str) and _ESCAPE.search(value):
        from openpyxl.utils.escape import unescape

        return unescape(value)
    return value


def _text(value: Any) -> tuple[str | None, str]:
    """Return the text in a cell, or ``None`` and the reason why it holds none."""
    from openpyxl.cell.cell import ERROR_CODES

    value = _plain(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)  # 666 is a text too
    if value is None:
        return None, BLANK
    if not isinstance(value, str):
        return None, f"the cell holds a {type(value).__name__}, not a text"
    if value in ERROR_CODES:
        return None, f"the cell holds the error {value}"
    return (None, BLANK) if is_blank(value) else (value, "")


def _check_archive(file: IO[bytes]) -> None:
    """Raise ``DataError`` if a workbook takes too much memory, or declares entities in its XML."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        # What is unpacked never exceeds the lengths that the archive names.
        length = sum(part.file_size for part in parts)
        strings = sum(each.file_size for each in parts if each.filename.lower().endswith(_STRINGS))
        if length > _MAX_UNPACKED_BYTES or strings > _MAX_STRINGS_BYTES:
            raise DataError(
                _(
                    "it has more than {max_unpacked_bytes:,} bytes when unpacked, or more than "
                    "{max_strings_bytes:,} of texts; save the sheet as CSV"
                ).format(
                    max_unpacked_bytes=_MAX_UNPACKED_BYTES, max_strings_bytes=_MAX_STRINGS_BYTES
                )
            )
        for part in parts:
            with archive.open(part) as content:
                if b"<!DOCTYPE" in content.read(_DECLARATION_BYTES):
                    raise DataError(_("its XML has a document type, as no workbook does"))
    file.seek(0)


@contextmanager
def _as_data_errors() -> Iterator[None]:
    """Convert what openpyxl and its parsers raise, which is anything, to ``DataError``."""
    try:
        yield
    except (DataError, MemoryError, GeneratorExit):
        raise
    except OSError as error:
        # The disk's, but for the place before the file that a damaged archive names.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _unreadable(error) from None
    except Exception as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> DataError:
    problem = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        _(
            "it cannot be read as an Excel workbook: {problem}; open it in Excel and save it again"
        ).format(problem=one_line(problem))
    )
