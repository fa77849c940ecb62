"""Parquet tables, read and written by pyarrow in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gettext import gettext as _
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from model.bulk.layout import text_column
from model.bulk.source import opened_anywhere
from model.bulk.table import (
    PARQUET,
    OutputColumns,
    ReadOptions,
    Row,
    Understood,
    as_text,
    unique_index,
)
from model.bulk.writers import added_kinds
from model.errors import BLANK, DataError, one_line
from model.files import NOT_UTF8
from model.text.pipeline import is_blank

# Rows held in memory together, and in a row group of the output.
_BATCH_ROWS: Final = 16_384
# Rows that are looked at to find the column of the texts.
_SAMPLE_ROWS: Final = 200


class ParquetTable:
    """Parquet, read and written by pyarrow."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        """Read the schema and the first rows.

        Raises:
            DataError: the file is damaged, or it cannot be told which column holds the texts.
        """
        import pyarrow  # optional dependency: the extra "tables"
        import pyarrow.parquet

        self._arrow = pyarrow
        self._path = path
        with self._as_data_errors(), self._open() as file:
            self._schema = file.schema_arrow
            self.names: Sequence[str] = self._schema.names
            if options.column is None:
                index = text_column(self.names, self._sample(file))
            else:
                index = unique_index(self.names, options.column)
        self._column = unique_index(self.names, self.names[index])
        self.understood = Understood(PARQUET, self.names[index])
        if not self._is_text(self._schema.field(index).type):
            kind = one_line(str(self._schema.field(index).type))
            raise DataError(
                _("the column {names} holds {kind}, not strings").format(
                    names=one_line(self.names[index]), kind=kind
                )
            )

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        number = 0
        for batch in self._batches():
            for index, (text, reason) in enumerate(self._texts(batch)):
                number += 1
                yield Row(number, text, reason, None, (batch, index))

    def value(self, row: Row, name: str) -> object:
        """See ``Table.value``."""
        batch, index = row.fields
        return self._value(batch.column(unique_index(self.names, name)), index)

    def values(self, row: Row) -> Sequence[object]:
        """See ``Table.values``."""
        batch, index = row.fields
        return [self._value(column, index) for column in batch.columns]

    def shown(self, row: Row) -> object:
        """See ``Table.shown``."""
        return dict(zip(self.names, self.values(row), strict=True))

    def write(self, file: BinaryIO, answers: Iterator[OutputColumns], added: Sequence[str]) -> None:
        """See ``Table.write``."""
        arrow = self._arrow
        fields = [
            arrow.field(name, kind) for name, kind in zip(added, added_kinds(arrow), strict=True)
        ]
        schema = self._schema
        for field in fields:
            schema = schema.append(field)
        with arrow.parquet.ParquetWriter(file, schema) as writer:
            for batch in self._batches():
                readable = [text is not None for text, _ in self._texts(batch)]
                kept = batch.filter(arrow.array(readable))
                if not kept.num_rows:
                    continue
                columns_of_batch = zip(*islice(answers, kept.num_rows), strict=True)
                for field, values in zip(fields, columns_of_batch, strict=True):
                    kept = kept.append_column(field, arrow.array(values, field.type))
                writer.write_batch(kept)

    def _texts(self, batch: Any) -> Iterator[tuple[str | None, str]]:
        """Yield each row's text, or ``None`` and the reason why it cannot be classified."""
        # As bytes, since Arrow does not check that its strings are UTF-8.
        for content in batch.column(self._column).cast(self._arrow.binary()).to_pylist():
            if content is None:
                yield None, "it has no text"
                continue
            try:
                text = content.decode()
            except UnicodeDecodeError:
                yield None, NOT_UTF8
                continue
            yield (None, BLANK) if is_blank(text) else (text, "")

    def _value(self, column: Any, index: int) -> object:
        """Return a value as Python has it, or as a string if Python cannot."""
        arrow = self._arrow
        value = column[index]
        try:
            return value.as_py()
        except (ValueError, OverflowError):  # not UTF-8, or a time outside Python's range
            try:
                content = value.cast(arrow.string()).cast(arrow.binary()).as_py()
                return content.decode(errors="backslashreplace")
            except arrow.ArrowException:  # or such a value inside another
                return column.slice(index, 1).to_string()

    def _sample(self, file: Any) -> list[list[str]]:
        """Return the first rows; a column that holds no strings is one of numbers."""
        batch = next(file.iter_batches(batch_size=_SAMPLE_ROWS, use_threads=False), None)
        if batch is None:
            return []
        texts = [self._is_text(field.type) for field in self._schema]
        return [
            [
                as_text(self._value(column, index)) if is_text else "0"
                for column, is_text in zip(batch.columns, texts, strict=True)
            ]
            for index in range(batch.num_rows)
        ]

    def _is_text(self, kind: Any) -> bool:
        arrow = self._arrow
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
        return kind in (arrow.string(), arrow.large_string(), arrow.string_view())

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with opened_anywhere(self._path) as file:
            yield self._arrow.parquet.ParquetFile(
                file,
                # Reads column chunks piecewise: a whole one may not fit into memory.
                buffer_size=2**20,
                pre_buffer=False,
                page_checksum_verification=True,
            )

    def _batches(self) -> Iterator[Any]:
        with self._as_data_errors(), self._open() as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False)

    @contextmanager
    def _as_data_errors(self) -> Iterator[None]:
        """Convert Arrow errors, some of which are ``OSError``s, to ``DataError``."""
        try:
            yield
        except (self._arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            problem = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
            raise DataError(
                _("it cannot be read as Parquet: {problem}").format(problem=one_line(problem))
            ) from None
