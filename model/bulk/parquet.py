"""Parquet tables, read and written by pyarrow in batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from model.bulk.table import ADDED_COLUMNS, OutputColumns, Row, text_column
from model.errors import BLANK, DataError, one_line
from model.files import NOT_UTF8
from model.text.pipeline import is_blank

# Rows held in memory together, and in a row group of the output.
_BATCH_ROWS = 16_384


class ParquetTable:
    """Parquet, read and written by pyarrow."""

    def __init__(self, path: Path, column: str | None) -> None:
        import pyarrow  # optional dependency: the extra "tables"
        import pyarrow.parquet

        self._arrow = pyarrow
        self._path = path
        with self._as_data_errors(), self._open() as file:
            self._schema = file.schema_arrow
            names = self._schema.names
        self._column = text_column(column, names, path)
        kind = self._schema.field(self._column).type
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        if kind not in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()):
            name = one_line(self._column)
            raise DataError(f"the column {name} of {path} holds {one_line(str(kind))}, not strings")

    def rows(self) -> Iterator[Row]:
        """See ``Table.rows``."""
        for batch in self._batches():
            for index, (text, reason) in enumerate(self._texts(batch)):
                yield Row(text, reason, None if text else self._values(batch, index))

    def write(self, file: BinaryIO, columns: Iterator[OutputColumns]) -> None:
        """See ``Table.write``."""
        arrow = self._arrow
        kinds = [arrow.string(), *[arrow.float64()] * (len(ADDED_COLUMNS) - 1)]
        added = [arrow.field(name, kind) for name, kind in zip(ADDED_COLUMNS, kinds, strict=True)]
        schema = self._schema
        for field in added:
            schema = schema.append(field)
        with arrow.parquet.ParquetWriter(file, schema) as writer:
            for batch in self._batches():
                readable = [text is not None for text, _ in self._texts(batch)]
                kept = batch.filter(arrow.array(readable))
                if not kept.num_rows:
                    continue
                columns_of_batch = zip(*islice(columns, kept.num_rows), strict=True)
                for field, values in zip(added, columns_of_batch, strict=True):
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

    def _values(self, batch: Any, index: int) -> dict[str, object]:
        """Return a row's values by column."""
        arrow = self._arrow
        row: dict[str, object] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            value = column[index]
            try:
                row[name] = value.as_py()
            except (ValueError, OverflowError):  # not UTF-8, or a time outside Python's range
                try:
                    content = value.cast(arrow.string()).cast(arrow.binary()).as_py()
                    row[name] = content.decode(errors="backslashreplace")
                except arrow.ArrowException:  # or such a value inside another
                    row[name] = column.slice(index, 1).to_string()
        return row

    def _open(self) -> Any:
        return self._arrow.parquet.ParquetFile(
            self._path,
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
                f"{self._path} cannot be read as Parquet: {one_line(problem)}"
            ) from None
