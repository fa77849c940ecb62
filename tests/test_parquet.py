"""Parquet tables: columns and types kept, bad rows set aside, damage told in one sentence."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.bulk.labelling import label_table
from model.bulk.table import ADDED_COLUMNS
from model.classifier import CHUNK_TEXTS, Classifier
from model.errors import DataError
from tests.support.tables import (
    ROWS,
    bad_rows,
    many_texts,
    parquet_rows,
    run,
    write,
)


def test_parquet_keeps_its_columns_and_their_types(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    texts = pa.array(["房间很好", None, " ", "早餐很差"])
    given = pa.table(
        {
            "id": pa.array([7, 8, 9, None], pa.int8()),
            "text": texts.dictionary_encode(),
            "more": pa.array([[b"\x00"], [], None, [b"y"]]),
        }
    ).replace_schema_metadata({"whose": "ours"})
    pq.write_table(given, tmp_path / "a.parquet")
    summary = label_table(tiny_classifier, tmp_path / "a.parquet")
    result = pq.read_table(tmp_path / "a.labelled.parquet")
    assert result.column_names == [*given.column_names, *ADDED_COLUMNS]
    kept = given.take([0, 3])
    assert result.select(given.column_names).to_pylist() == kept.to_pylist()
    assert result.schema.field("id").type == pa.int8()
    assert result.schema.metadata[b"whose"] == b"ours"
    assert result.column("label").to_pylist() == ["positive", "negative"]
    assert [row["row"] for row in bad_rows(tmp_path / "a.errors.jsonl")] == [2, 3]
    assert summary.failed == 2


def strings(*values: bytes | None) -> pa.Array:
    """Of any bytes: Arrow does not check them."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_a_parquet_text_that_is_not_utf8_is_one_bad_row(
    tiny_classifier: Classifier, tmp_path: Path, kind: str
) -> None:
    texts = strings("房间很好".encode(), b"\xff\xfe", b"<br>", "早餐很差".encode())
    column = {
        "string": texts,
        "large_string": texts.cast(pa.large_string()),
        "dictionary": texts.dictionary_encode(),
    }[kind]
    pq.write_table(pa.table({"n": [1, 2, 3, 4], "text": column}), tmp_path / "a.parquet")
    label_table(tiny_classifier, tmp_path / "a.parquet")
    result = pq.read_table(tmp_path / "a.labelled.parquet")
    assert result.column("n").to_pylist() == [1, 4]
    assert result.column("text").to_pylist() == ["房间很好", "早餐很差"]
    bad = bad_rows(tmp_path / "a.errors.jsonl")
    assert [(row["row"], row["reason"]) for row in bad] == [
        (2, "the bytes are not UTF-8"),
        (3, "the text is empty or blank"),
    ]
    assert bad[0]["content"] == {"n": 2, "text": "\\xff\\xfe"}


def test_a_bad_parquet_row_is_told_whatever_else_it_holds(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    odd = strings(b"\xff", b"ok")
    given = pa.table(
        {
            "text": [None, "房间很好"],
            "nanoseconds": pa.array([1, 2], pa.timestamp("ns")),
            "year 33658": pa.array([10**15, 0], pa.timestamp("ms")),
            "inside": pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), odd),
        }
    )
    pq.write_table(given, tmp_path / "a.parquet")
    assert label_table(tiny_classifier, tmp_path / "a.parquet").failed == 1
    content = bad_rows(tmp_path / "a.errors.jsonl")[0]["content"]
    assert content["nanoseconds"] == "1970-01-01 00:00:00.000000001"
    assert content.keys() == set(given.column_names)
    result = pq.read_table(tmp_path / "a.labelled.parquet").select(given.column_names)
    assert result.equals(given.slice(1))


@pytest.mark.parametrize("damage", ["truncated", "page", "cut out"])
def test_a_damaged_parquet_file_is_told_in_one_sentence(
    tiny_artifact: Path, tmp_path: Path, damage: str
) -> None:
    table = tmp_path / "a.parquet"
    parquet_rows(table, many_texts())
    content = bytearray(table.read_bytes())
    middle = len(content) // 2
    if damage == "truncated":
        del content[middle:]
    elif damage == "page":
        content[middle : middle + 64] = b"\xff" * 64
    else:
        del content[middle : middle + 1000]
    table.write_bytes(content)
    result = run(table, "--model", tiny_artifact)
    assert result.exit_code == 2
    assert f"sentiment: {table}: it cannot be read as Parquet: " in result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "a.labelled.parquet").exists()


def test_a_parquet_file_that_cannot_be_read_for_a_while_is_gone_on_with(
    tiny_classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "a.parquet"
    parquet_rows(table, many_texts())
    label_table(tiny_classifier, table, tmp_path / "whole.parquet")
    batches = pq.ParquetFile.iter_batches
    readings = iter(range(4))

    def fail(of: Any, **options: Any) -> Iterator[Any]:
        """What a disk does that fails while the texts are read to be classified."""
        rows = 2 * CHUNK_TEXTS if next(readings) == 3 else ROWS
        for batch in batches(of, **{**options, "batch_size": CHUNK_TEXTS}):
            if rows <= 0:
                raise OSError("Unexpected end of stream")  # Arrow's have no errno
            rows -= batch.num_rows
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetFile, "iter_batches", fail)
        with pytest.raises(DataError, match="as Parquet: Unexpected end of stream"):
            label_table(tiny_classifier, table)
    label_table(tiny_classifier, table, resume=True)
    whole = (tmp_path / "whole.parquet").read_bytes()
    assert (tmp_path / "a.labelled.parquet").read_bytes() == whole


def test_a_column_of_numbers_is_refused(tiny_classifier: Classifier, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds int64, not strings"):
        label_table(tiny_classifier, tmp_path / "a.parquet")


def test_without_pyarrow_parquet_says_what_to_install_and_csv_works(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(pa.table({"text": ["好"]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run(tmp_path / "a.parquet", "--model", tiny_artifact)
    assert result.exit_code == 2
    assert "the package pyarrow is missing" in result.output
    assert "pip install 'zh-sentiment[tables]'" in result.output
    table = write(tmp_path / "a.csv", "text\n房间很好\n")
    assert run(table, "--model", tiny_artifact).exit_code == 0
