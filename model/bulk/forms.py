"""The forms of tables: which one a file has, and how tables are written."""

import gzip
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gettext import gettext as _
from pathlib import Path
from typing import BinaryIO, Final, cast

from model.bulk.delimited import DelimitedTable, LinesTable, is_delimited
from model.bulk.json_rows import JsonArray, JsonLines, is_array
from model.bulk.parquet import ParquetTable
from model.bulk.source import GZIP_SUFFIX, TextSource, check_content, named, suffixes
from model.bulk.table import (
    CSV,
    DEFAULT_OPTIONS,
    JSON_ARRAY,
    JSON_LINES,
    PARQUET,
    TEXT_LINES,
    TSV,
    WORKBOOK,
    OutputColumns,
    ReadOptions,
    Table,
)
from model.bulk.workbook import WorkbookTable
from model.bulk.writers import (
    Writer,
    write_csv,
    write_json_array,
    write_json_lines,
    write_parquet,
    write_tsv,
    write_workbook,
)
from model.errors import DataError

_LINES: Final = ".txt"
# The form that a suffix stands for where a table is written, and how tables of another are.
_WRITTEN: Final[dict[str, tuple[str, Writer]]] = {
    ".csv": (CSV, write_csv),
    ".tsv": (TSV, write_tsv),
    ".jsonl": (JSON_LINES, write_json_lines),
    ".ndjson": (JSON_LINES, write_json_lines),
    ".json": (JSON_ARRAY, write_json_array),
    ".parquet": (PARQUET, write_parquet),
    ".xlsx": (WORKBOOK, write_workbook),
}
_READ: Final = (*_WRITTEN, _LINES)
# Of spreadsheets in other forms, which the program that opens them can save as a workbook.
_SPREADSHEETS: Final = (".xls", ".xlsm", ".xlsb", ".ods", ".et")
# How the name of a table may end.
SUFFIXES: Final = (*_READ, *(f"{suffix}{GZIP_SUFFIX}" for suffix in _READ))


def open_table(path: Path, options: ReadOptions = DEFAULT_OPTIONS) -> Table:
    """Return the table in a file, whose suffix and content say which form it has.

    Raises:
        DataError: the file is none that can be read, or how it is laid out cannot be told; the
            message is a sentence that says what to do.
    """
    suffix = suffixes(path)[0]
    with named(path):
        if suffix in _SPREADSHEETS and path.is_file():
            raise DataError(_("it is a {suffix} file; save it as .xlsx").format(suffix=suffix))
        if options.sheet is not None and suffix != ".xlsx":
            raise DataError(_("it has no sheets; --sheet goes with an Excel workbook, *.xlsx"))
        check_content(path, suffix)
        if suffix not in _READ:
            raise DataError(
                _("its name must end in {read}, each optionally with {gzip_suffix}").format(
                    read=", ".join(_READ), gzip_suffix=GZIP_SUFFIX
                )
            )
        if suffix == ".parquet":
            return ParquetTable(path, options)
        if suffix == ".xlsx":
            return WorkbookTable(path, options)
        source = TextSource(path, options.encoding)
        if suffix in (".json", ".jsonl", ".ndjson"):
            return JsonArray(source, options) if is_array(source) else JsonLines(source, options)
        if suffix == _LINES and not (options.delimiter or is_delimited(source)):
            return LinesTable(source, options)
        usual, form = ("\t", TSV) if suffix in (".tsv", _LINES) else (",", CSV)
        return DelimitedTable(source, options, usual, form)


def default_output(path: Path, table: Table) -> Path:
    """Return ``NAME.labelled.EXT`` for a table; lines of text become CSV."""
    suffix, packed = suffixes(path)
    stem = path.name[: len(path.name) - len(suffix) - len(packed)]
    own = path.name[len(stem) :]
    ending = f".csv{packed}" if table.understood.form == TEXT_LINES else own
    return path.with_name(f"{stem}.labelled{ending}")


def errors_path(output: Path) -> Path:
    """Return ``NAME.errors.jsonl`` beside an output."""
    suffix, packed = suffixes(output)
    stem = output.name[: len(output.name) - len(suffix) - len(packed)]
    return output.with_name(f"{stem.removesuffix('.labelled')}.errors.jsonl")


def writer_of(table: Table, path: Path, output: Path) -> Writer:
    """Return the function that writes a table: in its own form, or in that of the output's name.

    Raises:
        DataError: no table is written in that form.
    """
    suffix = suffixes(output)[0]
    if suffix in _SPREADSHEETS:
        raise DataError(_("{output} cannot be written; name it *.xlsx").format(output=output))
    if suffix != suffixes(path)[0] or table.understood.form == TEXT_LINES:
        if suffix not in _WRITTEN:
            raise DataError(
                _("{output} cannot be written; its name must end in {written}").format(
                    output=output, written=", ".join(_WRITTEN)
                )
            )
        form, writer = _WRITTEN[suffix]
        if form != table.understood.form:
            return writer
    return _write_own


def _write_own(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    table.write(file, answers, added)


class _OneWayGzip(gzip.GzipFile):
    """Written from the beginning to the end, and says so, unlike its base, to who would go back."""

    def seekable(self) -> bool:
        """Return false."""
        return False

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Raise ``UnsupportedOperation``, as a pipe does."""
        raise io.UnsupportedOperation("seek")


@contextmanager
def packed_as(output: Path, file: BinaryIO) -> Iterator[BinaryIO]:
    """Return a file into which an output is written, packed if its name says so."""
    if not suffixes(output)[1]:
        yield file
        return
    # Without a name and a time, so that the same run gives the same bytes.
    with _OneWayGzip("", "wb", fileobj=file, mtime=0) as packed:
        yield cast(BinaryIO, packed)
