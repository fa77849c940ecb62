"""Tables with labels: which column holds them, what they are called, what is left out."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from model.bulk.labelled import read_labelled
from model.bulk.table import ReadOptions
from model.config import LABELS
from model.errors import DataError
from tests.support.texts import write_csv

ROWS = [("房间很好", "好评"), ("房间很差", "差评"), ("在三楼", "中评")]


def counts(path: Path, **options: object) -> dict[str, int]:
    rows = read_labelled(path, **options).rows  # type: ignore[arg-type]
    return dict(Counter(LABELS[row.label] for row in rows))


@pytest.mark.parametrize("name", ["标签", "label", "情感倾向", "用户评分类别", "Sentiment", "星级"])
def test_the_column_of_the_labels_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    rows = [(str(row), *each) for row, each in enumerate(ROWS)]
    path = write_csv(tmp_path / "a.csv", rows, ("id", "评论内容", name))
    assert read_labelled(path).column == name
    assert counts(path) == {"positive": 1, "negative": 1, "neutral": 1}


def test_the_column_of_the_labels_is_found_by_its_values(tmp_path: Path) -> None:
    rows = [("7", text, label) for text, label in ROWS * 2]
    path = write_csv(tmp_path / "a.csv", rows, ("n", "评论内容", "结论"))
    assert read_labelled(path).column == "结论"


def test_a_column_of_numbers_is_no_guess_beside_others(tmp_path: Path) -> None:
    rows = [(text, "1", "0") for text, _ in ROWS] + [("好", "0", "1")]
    path = write_csv(tmp_path / "a.csv", rows, ("评论内容", "会员", "已读"))
    with pytest.raises(DataError, match="--label-column names one of 会员, 已读"):
        read_labelled(path)
    assert counts(path, label_column="会员") == {"positive": 3, "negative": 1}


def test_a_column_whose_values_are_labels_goes_before_one_that_is_called_so(tmp_path: Path) -> None:
    rows = [(text, "0.93", label) for text, label in ROWS]
    path = write_csv(tmp_path / "a.csv", rows, ("评论内容", "情感得分", "类别"))
    assert read_labelled(path).column == "类别"


def test_what_predictions_added_is_not_what_is_right(tmp_path: Path) -> None:
    added = ("label", "confidence", "uncertain", "positive", "neutral", "negative")
    header = ("text", "label", *(f"sentiment_{name}" for name in added))
    rows = [(*row, "neutral", "0.9", "false", "0", "0.9", "0.1") for row in ROWS]
    path = write_csv(tmp_path / "a.csv", rows, header)
    assert counts(path) == {"positive": 1, "negative": 1, "neutral": 1}


def test_labels_that_a_model_may_have_written_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    header = ("text", "label", "confidence", "uncertain", "positive", "neutral", "negative")
    path = write_csv(
        tmp_path / "a.csv", [(*row, "0.9", "false", "0", "0", "0") for row in ROWS], header
    )
    read_labelled(path)
    assert "the column label was written by sentiment predict" in caplog.text


def test_labels_that_are_not_known_are_refused_with_all_that_there_are(tmp_path: Path) -> None:
    rows = [*ROWS, ("气死我了", "愤怒"), ("气死我啦", "愤怒")]
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    with pytest.raises(DataError) as refused:
        read_labelled(path)
    message = str(refused.value)
    assert "愤怒 (2), 好评 (1) is positive, 差评 (1) is negative, 中评 (1) is neutral" in message
    assert "--labels 愤怒=" in message
    assert counts(path, labels={"愤怒": 2}) == {"positive": 1, "negative": 3, "neutral": 1}


def test_a_column_of_all_kinds_of_values_is_told_to_be_none_of_labels(tmp_path: Path) -> None:
    rows = [(f"房间{number}很好", str(number)) for number in range(40)]
    path = write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    with pytest.raises(DataError, match="has 40 different values, which are no labels"):
        read_labelled(path)


def test_rows_without_text_or_label_and_broken_ones_are_counted_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "text,label\n很好,好评\n,好评\n很差, \n多,一,列\n<br>,差评\n太差,差评\n其他,无\n"
    )
    caplog.set_level(logging.INFO)
    rows = read_labelled(path, labels={"无": None})
    assert [row.number for row in rows.rows] == [1, 6]
    assert sum(rows.left_out.values()) == 5
    assert "rows left out: 2 (the text is empty or blank), 1 (there is no label)" in caplog.text


def test_a_table_without_one_label_is_refused_with_the_reasons(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("很好", ""), ("很差", "")], ("text", "label"))
    with pytest.raises(DataError, match=r"both a text and a label: 2 \(there is no label\)"):
        read_labelled(path)


def test_the_columns_beside_the_labels_of_the_page_are_not_taken_for_them(tmp_path: Path) -> None:
    labels = ["positive", "negative", "neutral"]
    rows = [
        (text, label, "right", str(row))
        for row, ((text, _), label) in enumerate(zip(ROWS, labels, strict=True), 2)
    ]
    path = write_csv(tmp_path / "a.corrected.csv", rows, ("text", "label", "marked", "row"))
    assert read_labelled(path).column == "label"
    assert counts(path) == {"positive": 1, "negative": 1, "neutral": 1}


@pytest.mark.parametrize("numbers", [range(1, 6), ("001", "002", "003", "004", "005")])
def test_numbers_of_rows_are_no_labels(tmp_path: Path, numbers: Sequence[object]) -> None:
    rows = [(str(number), f"房间{number}很好") for number in numbers]
    path = write_csv(tmp_path / "a.csv", rows, ("编号", "评论"))
    with pytest.raises(DataError, match="cannot be told which column holds the labels"):
        read_labelled(path)


def test_texts_alone_have_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("很好\n很差\n")
    with pytest.raises(DataError, match="it has no column but that of the texts; add one"):
        read_labelled(path)


def test_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS, ("text", "label"))
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"text": "很好", "label": "好评"}\n')
    for each in (path, lines):
        with pytest.raises(
            DataError, match="no column 极性; --label-column names one of text, lab"
        ):
            read_labelled(each, label_column="极性")


def test_every_form_of_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"data": {"text": "很好", "label": 1}}\n{"data": {"text": "很差", "label": 0}}\n'
    )
    (tmp_path / "b.json").write_text('[{"text": "很好", "stars": 5}, {"text": "很差", "stars": 1}]')
    (tmp_path / "c.tsv").write_bytes("内容\t情感\n很好\t正面\n很差\t负面\n".encode("gb18030"))
    (tmp_path / "d.csv").write_text("很好;好评\n很差;差评\n这里的房间很差，不会再来;差评\n")
    found = {"positive": 1, "negative": 1}
    nested = ReadOptions(column="data.text")
    assert counts(tmp_path / "a.jsonl", options=nested, label_column="data.label") == found
    assert counts(tmp_path / "b.json") == found
    assert counts(tmp_path / "c.tsv") == found
    assert counts(tmp_path / "d.csv", options=ReadOptions(column="1", header=False)) == {
        "positive": 1,
        "negative": 2,
    }
