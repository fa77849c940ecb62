"""Tables written in another form than they have: the values of the rows that have a text."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from gettext import gettext as _
from io import TextIOWrapper
from itertools import islice
from typing import Any, BinaryIO, Final

from model.bulk.table import ADDED_COLUMNS, OutputColumns, Table, as_text
from model.errors import DataError, one_line

# Rows in a row group of Parquet.
_BATCH_ROWS: Final = 16_384
# What a workbook holds at most.
_MAX_CELL: Final = 32_767
_MAX_SHEET_ROWS: Final = 1_048_576
_MAX_SHEET_COLUMNS: Final = 16_384

Writer = Callable[[Table, BinaryIO, Iterator[OutputColumns], Sequence[str]], None]


def formatted(answer: OutputColumns) -> list[str]:
    """Return the fields that are added to a delimited row."""
    label, confidence, uncertain, *by_label = answer
    numbers = [f"{number:.6f}" for number in by_label]
    return [label, f"{confidence:.6f}", as_text(uncertain), *numbers]


def write_delimited(
    table: Table,
    file: BinaryIO,
    answers: Iterator[OutputColumns],
    added: Sequence[str],
    delimiter: str,
) -> None:
    """Write delimited rows in UTF-8 with a mark, without which Excel takes them for GBK."""
    text = TextIOWrapper(file, "utf-8-sig", newline="", write_through=True)
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow([*table.names, *added])
    for values, answer in _answered(table, answers):
        writer.writerow([*map(as_text, values), *formatted(answer)])
    text.detach()


def write_csv(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    """Write CSV; see ``write_delimited``."""
    write_delimited(table, file, answers, added, ",")


def write_tsv(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    """Write TSV; see ``write_delimited``."""
    write_delimited(table, file, answers, added, "\t")


def write_json_lines(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    """Write a JSON object a line."""
    for line in _json_objects(table, answers, added):
        file.write(line + b"\n")


def write_json_array(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    """Write an array with a JSON object a line."""
    file.write(b"[")
    for number, line in enumerate(_json_objects(table, answers, added)):
        file.write((b",\n" if number else b"\n") + line)
    file.write(b"\n]\n")


def write_parquet(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    """Write Parquet, whose columns but the added ones are all strings."""
    import pyarrow  # optional dependency: the extra "tables"
    import pyarrow.parquet

    names = _unique(table, added)
    kinds = [pyarrow.string()] * len(table.names) + added_kinds(pyarrow)
    schema = pyarrow.schema(list(zip(names, kinds, strict=True)))
    answered = _answered(table, answers)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(answered, _BATCH_ROWS)):
            rows = [
                [*(None if value is None else as_text(value) for value in values), *answer]
                for values, answer in batch
            ]
            columns = [
                pyarrow.array(column, kind)
                for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))


def added_kinds(arrow: Any) -> list[Any]:
    """Return the types of Arrow that the added columns have."""
    kinds = {"label": arrow.string(), "uncertain": arrow.bool_()}
    return [kinds.get(name, arrow.float64()) for name in ADDED_COLUMNS]


def write_workbook(
    table: Table, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]
) -> None:
    """Write an Excel workbook of one sheet.

    Raises:
        DataError: the table has more rows, columns or characters in a cell than a sheet holds.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    workbook = Workbook(write_only=True)
    sheet = workbook.create_sheet("labelled")

    def cell(value: object) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        text = as_text(value)
        if len(text) > _MAX_CELL:
            raise DataError(
                _(
                    "a cell of a workbook holds {max_cell:,} characters, and one has {text:,}; "
                    "name the output *.csv"
                ).format(max_cell=_MAX_CELL, text=len(text))
            )
        made = WriteOnlyCell(sheet, sheet_text(text))
        made.data_type = "s"  # also where it looks like a formula
        return made

    if len(table.names) + len(added) > _MAX_SHEET_COLUMNS:
        raise DataError(
            _("a sheet holds {max_sheet_columns:,} columns; name the output *.csv").format(
                max_sheet_columns=_MAX_SHEET_COLUMNS
            )
        )
    try:
        sheet.append([cell(name) for name in (*table.names, *added)])
        for number, (values, answer) in enumerate(_answered(table, answers), start=2):
            if number > _MAX_SHEET_ROWS:
                raise DataError(
                    _("a sheet holds {max_sheet_rows:,} rows; name the output *.csv").format(
                        max_sheet_rows=_MAX_SHEET_ROWS
                    )
                )
            sheet.append([cell(value) for value in (*values, *answer)])
    except BaseException:
        sheet.close()  # or it complains on standard error once it is forgotten
        raise
    workbook.save(file)


def sheet_text(text: str) -> str:
    """Return a text as a workbook spells it, which has escapes for control characters."""
    from openpyxl.utils.escape import escape

    return str(escape(text))


def _answered(
    table: Table, answers: Iterator[OutputColumns]
) -> Iterator[tuple[Sequence[object], OutputColumns]]:
    for row in table.rows():
        if row.text is not None:
            yield table.values(row), next(answers)


def _json_objects(
    table: Table, answers: Iterator[OutputColumns], added: Sequence[str]
) -> Iterator[bytes]:
    names = _unique(table, added)
    for values, answer in _answered(table, answers):
        content = dict(zip(names, (*values, *answer), strict=True))
        # Values that JSON cannot hold, such as dates, are written as str() shows them.
        yield json.dumps(content, ensure_ascii=False, default=str).encode()


def _unique(table: Table, added: Sequence[str]) -> list[str]:
    """Return the names of all columns.

    Raises:
        DataError: two are the same, which an object cannot have.
    """
    names = [*table.names, *added]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            _("there is more than one column {twice}; name the output *.csv or *.xlsx").format(
                twice=one_line(twice[0])
            )
        )
    return names
