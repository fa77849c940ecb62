"""Files as people have them, which the command line and the page read alike.

``tests/files/expected.json`` says what is understood of each file beside it; the tests of the page
read it too. Its keys are the names of the files. A file that is refused has one key, ``refused``,
the kind of problem (see ``REFUSED``). Any other has

form
    CSV, TSV, text lines, JSON Lines, JSON array, Parquet or Excel workbook
encoding
    UTF-8, UTF-16, GB18030 or Big5; left out for Parquet and workbooks
delimiter, header
    the character between fields, and whether the first row names the columns; left out where a form
    has none
sheet
    of a workbook
column
    the column of the texts: its name without blanks around it, dotted for a JSON field inside
    another, and its number from 1 in a table without a header
rows, failed
    the number of rows, and of those that have no text that can be read
first_text
    the first text that can be read; null if there is none
"""

import codecs
import csv
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from model.bulk.forms import open_table
from model.bulk.labelling import label_table
from model.bulk.table import ADDED_COLUMNS, CSV, JSON_LINES, TSV, ReadOptions
from model.classifier import Classifier
from model.errors import DataError
from tests.support.repository import ROOT

FILES = ROOT / "tests" / "files"
EXPECTED: dict[str, dict[str, Any]] = json.loads(
    (FILES / "expected.json").read_text(encoding="utf-8")
)
READ = [name for name, expected in EXPECTED.items() if expected.get("first_text")]
REFUSED = {
    "column": "it cannot be told which column holds the texts; --column names one of",
    "damaged gzip": "it cannot be unpacked",
    "delimiter": "by --delimiter, or the file *.txt if every line is a text",
    "duplicate column": "there is more than one column text; rename all but one",
    "empty": "it is empty",
    "header": "--no-header says that there is no header",
    "HTML": "a web page (HTML); open it in a spreadsheet and save it as .xlsx",
    "image": "it is no table that can be read but an image",
    "no objects": "a table is an array of objects, or one a line",
    "old Excel": "; save it as .xlsx",
    "PDF": "it is no table that can be read but a PDF",
    "workbook": "an Excel workbook; name it *.xlsx",
    "zip": "a zip archive; unpack it",
}


def test_every_file_is_expected_to_be_something() -> None:
    assert {path.name for path in FILES.iterdir()} == {*EXPECTED, "expected.json"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_understood(name: str) -> None:
    expected = EXPECTED[name]
    if "refused" in expected:
        with pytest.raises(DataError) as refused:
            open_table(FILES / name)
        assert REFUSED[expected["refused"]] in str(refused.value)
        assert str(refused.value).startswith(f"{FILES / name}: ")
        return
    table = open_table(FILES / name)
    understood = {
        key: value
        for key in ("form", "encoding", "delimiter", "header", "sheet", "column")
        if (value := getattr(table.understood, key)) is not None
    }
    rows = list(table.rows())
    texts = [row.text for row in rows if row.text is not None]
    assert {
        **understood,
        "rows": len(rows),
        "failed": len(rows) - len(texts),
        "first_text": texts[0] if texts else None,
    } == expected
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert [row.text for row in table.rows()] == [row.text for row in rows]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.xls", b"text\n", "it is a .xls file; save it as .xlsx"),
        ("a.ODS", b"PK\x03\x04", "it is a .ods file; save it as .xlsx"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0", "(.xls) or has a password; save it as .xlsx"),
    ],
)
def test_a_spreadsheet_in_another_form_is_to_be_saved_as_a_workbook(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        open_table(path)
    assert str(refused.value).endswith(told)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in READ])
def test_nothing_is_written_where_nothing_can_be_answered(
    tiny_classifier: Classifier, tmp_path: Path, name: str
) -> None:
    table = Path(shutil.copy(FILES / name, tmp_path))
    with pytest.raises(DataError):
        label_table(tiny_classifier, table)
    assert list(tmp_path.iterdir()) == [table]


@pytest.mark.parametrize("name", READ)
def test_the_answers_stand_beside_the_texts(
    tiny_classifier: Classifier, tmp_path: Path, name: str
) -> None:
    table = Path(shutil.copy(FILES / name, tmp_path))
    opened = open_table(table)
    texts = [row.text for row in opened.rows() if row.text is not None]
    expected = list(tiny_classifier.predict(texts))
    summary = label_table(tiny_classifier, table)
    assert (summary.answered, summary.failed) == (
        len(texts),
        EXPECTED[name]["failed"],
    )
    assert summary.errors.exists() == bool(summary.failed)
    assert summary.uncertain == sum(prediction.uncertain for prediction in expected)
    understood = opened.understood
    read = ReadOptions(
        understood.column,
        delimiter=understood.delimiter,
        header=understood.header,
    )
    labelled = open_table(summary.output, read)
    answered = [row for row in labelled.rows() if row.text is not None]
    assert [row.text for row in answered] == texts
    # The last six, but for JSON, where the last row may bring further names.
    label = next((n for n in reversed(labelled.names) if n.endswith("label")), labelled.names[-6])
    uncertain = labelled.names[labelled.names.index(label) + 2]
    for row, prediction in zip(answered, expected, strict=True):
        assert labelled.value(row, label) == prediction.label
        assert str(labelled.value(row, uncertain)).lower() == str(prediction.uncertain).lower()


@pytest.mark.parametrize(
    "name", [name for name in READ if EXPECTED[name]["form"] in (CSV, TSV, JSON_LINES)]
)
def test_without_the_answers_every_row_is_the_same_to_the_byte(
    tiny_classifier: Classifier, tmp_path: Path, name: str
) -> None:
    table = Path(shutil.copy(FILES / name, tmp_path))
    opened = open_table(table)
    raw = [row.content for row in opened.rows() if row.text is not None]
    summary = label_table(tiny_classifier, table)
    unpack = gzip.decompress if name.endswith(".gz") else bytes
    before, after = unpack(table.read_bytes()), unpack(summary.output.read_bytes())
    marks = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    assert before[:2] == after[:2] or not before.startswith(marks)
    for row in raw:
        kept = row.rstrip(b"\r\n\0 ").removesuffix(b"}").rstrip(b"\0 ")
        assert kept in after
        after = after[after.index(kept) + len(kept) :]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("label_column.csv", "sentiment_label"),
        ("output_columns_case.csv", "sentiment_label"),
        ("labelled_before.csv", "sentiment2_label"),
        ("label_field.jsonl", "sentiment_label"),
        ("bom.csv", "label"),
    ],
)
def test_a_table_with_a_label_keeps_it(
    tiny_classifier: Classifier, tmp_path: Path, name: str, first: str
) -> None:
    table = Path(shutil.copy(FILES / name, tmp_path))
    names = list(open_table(table).names)
    output = label_table(tiny_classifier, table).output
    labelled = open_table(output, ReadOptions(open_table(table).understood.column))
    prefix = first.removesuffix("label")
    assert list(labelled.names) == [*names, *(f"{prefix}{added}" for added in ADDED_COLUMNS)]


def test_a_prefix_is_the_users_choice(tiny_classifier: Classifier, tmp_path: Path) -> None:
    table = Path(shutil.copy(FILES / "label_column.csv", tmp_path))
    output = label_table(tiny_classifier, table, prefix="model-").output
    header = next(csv.reader(io.StringIO(output.read_text(encoding="utf-8"))))
    assert header == ["label", "review", *(f"model-{name}" for name in ADDED_COLUMNS)]
    with pytest.raises(DataError, match="choose another --prefix"):
        label_table(tiny_classifier, table, tmp_path / "b.csv", prefix="")


def test_a_huge_field_and_thousands_of_columns_are_one_row(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    huge = tmp_path / "huge.csv"
    text = "这家店很好。" * 30_000
    huge.write_text(f'id,text\n1,"{text}"\n2,太差了\n', encoding="utf-8")
    assert [row.text for row in open_table(huge).rows()] == [text, "太差了"]
    wide = tmp_path / "wide.csv"
    names = ",".join(f"q{number}" for number in range(3000))
    row = f"很好吃,{','.join('1' * 3000)}"
    wide.write_text(f"text,{names}\n{row}\n", encoding="utf-8")
    output = label_table(tiny_classifier, wide).output
    assert output.read_text(encoding="utf-8").splitlines()[1].startswith(f"{row},positive,")
