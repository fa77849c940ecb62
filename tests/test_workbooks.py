"""Excel workbooks: labelled in their own sheet, bounded in memory, and made from other tables."""

import datetime
import re
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart, Reference

from model.bulk import workbook as workbooks
from model.bulk.forms import open_table
from model.bulk.labelling import label_table
from model.bulk.table import ADDED_COLUMNS, ReadOptions
from model.classifier import Classifier
from model.errors import DataError
from tests.support.tables import bad_rows, write

SHEET = "xl/worksheets/sheet1.xml"
TEXTS = ["房间很好", "早餐很差", "电影在三楼"]
MONTHS = ("一月", "二月", "草稿")


def filled(path: Path) -> Path:
    """Write a workbook with what a rewriting would lose: formulas, formats, a chart, a sheet."""
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = "评论"
    sheet.append(["编号", "评论内容", "日期", "合计"])
    for row, text in enumerate([*TEXTS, " ", "好&<不>好"], start=2):
        sheet.append([f"00{row}", text, datetime.datetime(2024, 1, row), f"=ROW(C{row})"])
    sheet["A2"].number_format = "@"
    sheet.column_dimensions["B"].width = 60
    chart = BarChart()
    chart.add_data(Reference(sheet, min_col=4, min_row=1, max_row=5))
    sheet.add_chart(chart, "K2")
    book.create_sheet("说明")["A1"] = "=1+1"
    book.save(path)
    return path


def as_excel_writes(table: Path) -> Path:
    """Put the texts of the first sheet into the part that Excel keeps them in."""
    content = parts(table)
    texts: list[bytes] = []

    def share(match: re.Match[bytes]) -> bytes:
        texts.append(match[2])
        return match[1] + b't="s"><v>%d</v></c>' % (len(texts) - 1)

    inline = re.compile(rb'(<c [^>]*?)t="inlineStr"><is>(.*?)</is></c>')
    content[SHEET] = inline.sub(share, content[SHEET])
    shared = b"".join(b"<si>%b</si>" % text for text in texts)
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    content["xl/sharedStrings.xml"] = b'<sst xmlns="%b">%b</sst>' % (main, shared)
    kind = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    content["[Content_Types].xml"] = content["[Content_Types].xml"].replace(
        b"</Types>",
        b'<Override PartName="/xl/sharedStrings.xml" ContentType="%b"/></Types>' % kind,
    )
    with zipfile.ZipFile(table, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return table


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_only_the_labelled_sheet_changes_and_only_behind_its_rows(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    table = as_excel_writes(filled(tmp_path / "a.xlsx"))
    assert "xl/sharedStrings.xml" in parts(table)
    summary = label_table(tiny_classifier, table)
    assert summary.output == tmp_path / "a.labelled.xlsx"
    assert (summary.answered, summary.failed) == (4, 1)
    before, after = parts(table), parts(summary.output)
    assert list(after) == list(before)
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["xl/worksheets/sheet1.xml"]
    given = openpyxl.load_workbook(table)["评论"]
    labelled = openpyxl.load_workbook(summary.output)["评论"]
    for row in given.iter_rows():
        for cell in row:
            copy = labelled[cell.coordinate]
            assert (copy.value, copy.number_format) == (cell.value, cell.number_format)
    assert labelled["D2"].value == "=ROW(C2)"
    added = [[cell.value for cell in row] for row in labelled.iter_rows(min_col=5)]
    assert added[0] == list(ADDED_COLUMNS)
    # A row that failed stays, since formulas refer to rows by number.
    assert added[4] == [None] * len(ADDED_COLUMNS)
    predictions = tiny_classifier.predict([*TEXTS, "好&<不>好"])
    for values, prediction in zip([*added[1:4], added[5]], predictions, strict=True):
        label, confidence, uncertain, *by_label = values
        assert (label, uncertain) == (prediction.label, prediction.uncertain)
        assert confidence == pytest.approx(prediction.confidence, abs=1e-6)
        assert by_label == pytest.approx(prediction.probabilities, abs=1e-6)
    assert [row["row"] for row in bad_rows(summary.errors)] == [4]
    # Whoever reads row by row is told no width that is too small.
    reader = openpyxl.load_workbook(summary.output, read_only=True)
    assert len(next(reader["评论"].iter_rows(values_only=True))) == 10
    reader.close()


def test_a_workbook_becomes_csv_that_excel_opens_and_back(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    table = filled(tmp_path / "a.xlsx")
    output = label_table(tiny_classifier, table, tmp_path / "a.csv").output
    content = output.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf" + "编号,评论内容,日期,合计,label,".encode())
    rows = list(open_table(output, ReadOptions("评论内容")).rows())
    assert [row.text for row in rows] == [*TEXTS, "好&<不>好"]
    assert rows[0].fields[:3] == ["002", "房间很好", "2024-01-02 00:00:00"]


def test_no_text_becomes_a_formula_in_a_workbook(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    content = 'id,text\n=1+1,房间很好\n"=HYPERLINK(""x"")",=早餐很差\n+3,"电影\x0b在三楼"\n'
    table = write(tmp_path / "a.csv", content)
    output = label_table(tiny_classifier, table, tmp_path / "b.xlsx").output
    sheet: Any = openpyxl.load_workbook(output).active
    cells = {cell.value: cell.data_type for row in sheet.iter_rows() for cell in row}
    assert {"=1+1", '=HYPERLINK("x")', "=早餐很差", "+3"} <= cells.keys()
    assert "f" not in cells.values()
    assert [row.text for row in open_table(output, ReadOptions("text")).rows()] == [
        "房间很好",
        "=早餐很差",
        "电影\x0b在三楼",
    ]
    same = label_table(tiny_classifier, table, tmp_path / "c.csv").output
    assert b"\n=1+1," in same.read_bytes()


def test_what_a_sheet_cannot_hold_is_not_cut(tiny_classifier: Classifier, tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", f"id,text\n1,{'房间很好。' * 7000}\n")
    with pytest.raises(DataError, match="32,767 characters, and one has 35,000"):
        label_table(tiny_classifier, table, tmp_path / "a.xlsx")
    assert not (tmp_path / "a.xlsx").exists()


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("_MAX_UNPACKED_BYTES", 1000, "bytes when unpacked"),
        ("_MAX_STRINGS_BYTES", 10, "bytes when unpacked"),
        ("_MAX_ROWS", 3, "more than 3 rows"),
        ("_MAX_COLUMNS", 9, "has 9 columns at most"),
    ],
)
def test_a_workbook_takes_no_more_than_its_limits(
    tiny_classifier: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
    message: str,
) -> None:
    table = as_excel_writes(filled(tmp_path / "a.xlsx"))
    monkeypatch.setattr(workbooks, limit, value)
    with pytest.raises(DataError, match=message):
        label_table(tiny_classifier, table)
    assert not (tmp_path / "a.labelled.xlsx").exists()


def rewritten(table: Path, part: str, *changes: tuple[str, str]) -> Path:
    """Rewrite a part of a workbook's archive."""
    content = parts(table)
    text = content[part].decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with zipfile.ZipFile(table, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, text.encode() if name == part else data)
    return table


@pytest.mark.parametrize(
    "changes",
    [
        [("<worksheet ", '<!DOCTYPE x [<!ENTITY a "b">]><worksheet ')],
        [('r="2"', 'r="999999999999"')],
        [('r="A2"', 'r="ZZZZ2"')],
        [("</sheetData>", "")],
    ],
    ids=["entities", "row", "column", "broken"],
)
def test_hostile_or_broken_xml_is_told_in_a_sentence(
    tiny_classifier: Classifier, tmp_path: Path, changes: list[tuple[str, str]]
) -> None:
    table = rewritten(filled(tmp_path / "a.xlsx"), SHEET, *changes)
    with pytest.raises(DataError, match=r"a\.xlsx: "):
        label_table(tiny_classifier, table)
    assert not (tmp_path / "a.labelled.xlsx").exists()


def test_an_archive_without_its_middle_is_told_in_a_sentence(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    content = filled(tmp_path / "whole.xlsx").read_bytes()
    for start in range(0, len(content) - 100, 97):
        table = write(tmp_path / "a.xlsx", content[:start] + content[start + 13 :])
        with pytest.raises(DataError, match=r"a\.xlsx: it "):
            label_table(tiny_classifier, table)


def test_xml_with_a_prefix_and_without_numbers_of_rows_is_labelled_too(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    table = filled(tmp_path / "a.xlsx")
    sheet = parts(table)[SHEET].decode()
    tags = ("worksheet", "sheetData", "row", "c", "v", "dimension", "is", "t")
    changes: list[tuple[str, str]] = [(' xmlns="http', ' xmlns:x="http')]
    names = {tag for tag in tags if f"<{tag}" in sheet}
    others = ("sheetPr", "outlinePr", "pageSetUpPr", "sheetViews", "sheetView", "selection")
    names |= {
        *(tag for tag in others if f"<{tag}" in sheet),
        *("sheetFormatPr", "cols", "col", "pageMargins", "drawing", "f"),
    }
    for tag in names:
        for end in (" ", ">", "/"):
            if f"<{tag}{end}" in sheet:
                changes.append((f"<{tag}{end}", f"<x:{tag}{end}"))
        if f"</{tag}>" in sheet:
            changes.append((f"</{tag}>", f"</x:{tag}>"))
    rewritten(table, SHEET, *changes)
    output = label_table(tiny_classifier, table).output
    read = openpyxl.load_workbook(output)["评论"]
    assert [cell.value for cell in read["E"]][:3] == ["label", "positive", "negative"]


def resaved(table: Path, change: Any) -> Path:
    book = openpyxl.load_workbook(table)
    change(book)
    book.save(table)
    return table


def test_hidden_sheets_are_not_read(tiny_classifier: Classifier, tmp_path: Path) -> None:
    def hide(book: Any) -> None:
        book["评论"].sheet_state = "hidden"
        book["说明"].append(["反馈"])
        book["说明"].append(["早餐很差"])
        book["说明"]["A1"] = "内容"

    table = resaved(filled(tmp_path / "a.xlsx"), hide)
    summary = label_table(tiny_classifier, table)
    assert summary.understood.sheet == "说明"


def months(path: Path) -> Path:
    """Write a workbook with three sheets of texts, one of them hidden."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, text in zip(MONTHS, TEXTS, strict=True):
        sheet = book.create_sheet(title)
        sheet.append(["评论"])
        sheet.append([text])
    book["草稿"].sheet_state = "hidden"
    book.save(path)
    return path


def test_the_sheets_that_are_not_read_are_named(tmp_path: Path) -> None:
    understood = open_table(months(tmp_path / "a.xlsx")).understood
    assert (understood.sheet, understood.other_sheets) == ("一月", ("二月",))
    assert "sheet 一月 (--sheet reads another: 二月), a header" in str(understood)


@pytest.mark.parametrize(("sheet", "text"), [*zip(MONTHS, TEXTS, strict=True)])
def test_a_sheet_is_read_by_its_name(
    tiny_classifier: Classifier, tmp_path: Path, sheet: str, text: str
) -> None:
    table = months(tmp_path / "a.xlsx")
    options = ReadOptions(sheet=sheet)
    assert [row.text for row in open_table(table, options).rows()] == [text]
    labelled = openpyxl.load_workbook(label_table(tiny_classifier, table, options=options).output)
    assert [each.title for each in labelled.worksheets if each["B1"].value] == [sheet]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.xlsx", "it has no sheet 三月; --sheet names one of 一月, 二月, 草稿"),
        ("a.csv", "it has no sheets; --sheet goes with an Excel workbook, *.xlsx"),
    ],
)
def test_a_sheet_that_is_not_there_is_told(tmp_path: Path, name: str, told: str) -> None:
    path = tmp_path / name
    if path.suffix == ".xlsx":
        months(path)
    else:
        path.write_text("评论\n房间很好\n", encoding="utf-8")
    with pytest.raises(DataError) as refused:
        open_table(path, ReadOptions(sheet="三月"))
    assert str(refused.value) == f"{path}: {told}"


def test_formulas_without_results_are_no_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (["评论", "合计"], [TEXTS[0], "=1+1"], ['="早餐"&"很差"', 3]):
        sheet.append(row)
    book.save(path)
    with pytest.raises(DataError) as refused:
        open_table(path)
    assert str(refused.value) == (
        f"{path}: the formulas in column 评论 have no results; open it in Excel and save it again"
    )
    content = parts(path)
    # As Excel writes a formula whose result is an empty string.
    content[SHEET] = content[SHEET].replace(b'<c r="A3"><f>', b'<c r="A3" t="str"><f>')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert [row.text for row in open_table(path).rows()] == [TEXTS[0], None]
