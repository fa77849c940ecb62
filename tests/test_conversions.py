"""Tables written in another form than they were read in, and gzip around any."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from model.bulk.forms import open_table
from model.bulk.labelling import label_table
from model.bulk.table import ADDED_COLUMNS, ReadOptions
from model.classifier import Classifier
from model.errors import DataError
from tests.support.tables import write

CONTENT = '编号,评论,n\n007,房间很好,1\n008, ,2\n009,"早餐""很差""，真的",3\n'
TEXTS = ["房间很好", '早餐"很差"，真的']
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx")


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_any_form_becomes_any_other(
    tiny_classifier: Classifier, tmp_path: Path, source: str, suffix: str, packed: str
) -> None:
    table = write(tmp_path / "a.csv", CONTENT.replace("008, ,2\n", ""))
    given = label_table(tiny_classifier, table, tmp_path / f"b{source}", prefix="first_").output
    output = tmp_path / f"c{suffix}{packed}"
    summary = label_table(tiny_classifier, given, output, ReadOptions("评论"))
    assert summary.answered == 2
    read = open_table(output, ReadOptions("评论"))
    first = [f"first_{name}" for name in ADDED_COLUMNS]
    assert list(read.names) == ["编号", "评论", "n", *first, *ADDED_COLUMNS]
    rows = list(read.rows())
    assert [row.text for row in rows] == TEXTS
    assert [read.value(row, "编号") for row in rows] == ["007", "009"]
    for row in rows:
        assert read.value(row, "label") == read.value(row, "first_label")
        numbers = [float(str(read.value(row, name))) for name in ("confidence", "first_confidence")]
        assert numbers[0] == numbers[1]
        assert str(read.value(row, "uncertain")).lower() in ("true", "false")
    assert output.read_bytes().startswith(b"\x1f\x8b") == bool(packed)


def test_lines_of_text_become_csv(tiny_classifier: Classifier, tmp_path: Path) -> None:
    table = write(tmp_path / "a.txt", "房间很好\n\n早餐,很差\n".encode("gbk"))
    summary = label_table(tiny_classifier, table)
    assert summary.output == tmp_path / "a.labelled.csv"
    with summary.output.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["text", *ADDED_COLUMNS]
    assert [row[0] for row in rows[1:]] == ["房间很好", "早餐,很差"]
    packed = tmp_path / "b.txt.gz"
    packed.write_bytes(gzip.compress("房间很好\n".encode()))
    assert label_table(tiny_classifier, packed).output == tmp_path / "b.labelled.csv.gz"
    with pytest.raises(DataError, match="its name must end in"):
        label_table(tiny_classifier, table, tmp_path / "c.txt")
    with pytest.raises(DataError, match=r"c.xls cannot be written; name it \*\.xlsx"):
        label_table(tiny_classifier, table, tmp_path / "c.xls")


def test_types_are_kept_where_a_form_has_them(tiny_classifier: Classifier, tmp_path: Path) -> None:
    content = '{"text": "房间很好", "n": 1.5, "tags": ["a"], "id": 12345678901234567890}\n'
    table = write(tmp_path / "a.jsonl", content)
    array = label_table(tiny_classifier, table, tmp_path / "a.json").output
    [row] = json.loads(array.read_bytes())
    assert (row["n"], row["tags"], row["id"]) == (1.5, ["a"], 12345678901234567890)
    assert isinstance(row["uncertain"], bool)
    parquet = pq.read_table(label_table(tiny_classifier, table, tmp_path / "a.parquet").output)
    assert str(parquet.schema.field("uncertain").type) == "bool"
    assert parquet.column("tags").to_pylist() == ['["a"]']


def test_two_columns_of_one_name_do_not_become_one(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    table = write(tmp_path / "a.csv", "text,备注,备注\n房间很好,a,b\n")
    with pytest.raises(DataError, match="more than one column 备注"):
        label_table(tiny_classifier, table, tmp_path / "a.jsonl")
    workbook = label_table(tiny_classifier, table, tmp_path / "a.xlsx").output
    assert list(open_table(workbook).names)[:3] == ["text", "备注", "备注"]


def test_an_array_keeps_its_layout_and_its_numbers(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    last = '{"n": 1e5,\n   "text": "早餐很差"\n  }'
    content = f'[ {{"text": "房间很好", "n": 1.10}},\n  {{"text": 5}},\n  {last}\n]\n'
    output = label_table(tiny_classifier, write(tmp_path / "a.json", content)).output
    labelled = output.read_text(encoding="utf-8")
    assert labelled.startswith('[ {"text": "房间很好", "n": 1.10, "label": "positive", ')
    assert ',\n  {"n": 1e5,\n   "text": "早餐很差", "label": "negative", ' in labelled
    assert labelled.endswith("}\n]\n")
    assert len(json.loads(labelled)) == 2


def test_a_field_that_only_a_late_row_has_decides_the_names(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    lines = ['{"text": "房间很好"}'] * 300 + ['{"text": "早餐很差", "Label": 1}']
    output = label_table(tiny_classifier, write(tmp_path / "a.jsonl", "\n".join(lines))).output
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert all("sentiment_label" in row and "label" not in row for row in rows)
    assert rows[-1]["Label"] == 1
