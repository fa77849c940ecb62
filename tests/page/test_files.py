"""A chosen file: what the page understands of it, how it is corrected, and what is no table.

``tests/files/expected.json`` is what the command line understands of the same files.
"""

import gzip
import io
import json
import zipfile
from datetime import date
from random import Random
from typing import Any

import pytest
from openpyxl import Workbook
from playwright.sync_api import Page, expect

from tests.support.page import Opener, downloaded, drop, dropped_at
from tests.support.repository import ROOT

pytestmark = pytest.mark.process

FILES = ROOT / "tests" / "files"
EXPECTED: dict[str, dict[str, Any]] = json.loads(
    (FILES / "expected.json").read_text(encoding="utf-8")
)
FORMS = {
    "CSV": "delimited",
    "TSV": "delimited",
    "text lines": "lines",
    "JSON Lines": "jsonLines",
    "JSON array": "jsonArray",
    "Excel workbook": "workbook",
}
# What the command line cannot ask is a guess that the page has checked.
REFUSED: dict[str, object] = {
    **dict.fromkeys(["column", "delimiter", "duplicate column", "header"], "a guess"),
    "damaged gzip": "damaged",
    "empty": "empty",
    "HTML": "html",
    "image": "image",
    "no objects": "noObjects",
    "old Excel": "xls",
    "PDF": "pdf",
    "zip": "zip",
}
# A page has no pyarrow, and looks at the content rather than the name.
OTHERWISE: dict[str, object] = {
    "reviews.parquet": "parquet",
    "workbook.csv": EXPECTED["reviews.xlsx"],
}
READ = """async ([name, bytes]) => {
    const { bytesOf, readFile } = await import("./web/page/reader/read.js");
    try {
        const file = await readFile(name, await bytesOf(new File([new Uint8Array(bytes)], name)));
        if (!file) return '"empty"';
        if (file.unsure) return '"a guess"';
        const { form, encoding, delimiter, header, sheet, names, column, rows } = file;
        const texts = rows
            .filter((row) => !row.problem && !row.others?.includes(column))
            .map((row) => row.cells[column])
            .filter((text) => text.trim() && !/\\p{Surrogate}/u.test(text));
        return JSON.stringify({
            form, encoding, delimiter, header, sheet,
            column: header === false ? String(column + 1) : names[column].trim(),
            rows: rows.length, failed: rows.length - texts.length, first_text: texts[0] ?? null,
        });
    } catch (error) {
        return JSON.stringify(error.why ?? String(error.stack));
    }
}"""


def test_the_page_understands_files_as_the_command_line_does(opened: Opener) -> None:
    page = opened()
    found = {
        name: json.loads(page.evaluate(READ, [name, list((FILES / name).read_bytes())]))
        for name in EXPECTED
    }

    def wanted(name: str) -> object:
        expected = OTHERWISE.get(name, EXPECTED[name])
        if not isinstance(expected, dict):
            return expected
        if "refused" in expected:
            return REFUSED[expected["refused"]]
        return {**expected, "form": FORMS[expected["form"]]}

    assert found == {name: wanted(name) for name in EXPECTED}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'[{"text": "\xe5\xa5"},\n{"text": "\xe5\xa5\xbd"}]'),
        ("a.csv", "id,text\n1,好\n".encode("utf-16") + "2,很好\n".encode("utf-16-le")[1:]),
        ("a.csv", "text\n很好吃\n太难吃了\n".encode("gb18030") + "很好吃\n".encode()),
    ],
    ids=["array", "shifted", "mixed"],
)
def test_what_is_not_in_the_encoding_of_the_file_is_no_text(
    opened: Opener, name: str, content: bytes
) -> None:
    found = json.loads(opened().evaluate(READ, [name, list(content)]))
    assert found["failed"] == 1
    assert found["first_text"] in {"好", "很好吃"}


def choose(page: Page, name: str) -> None:
    page.click("#tab-bulk")
    drop(page, name, (FILES / name).read_bytes())


def test_what_is_understood_is_told_beside_the_first_rows(opened: Opener) -> None:
    page = opened()
    choose(page, "semicolon.csv")
    expect(page.locator("#bulk-understood")).to_have_text(
        "Read as table · UTF-8 · separated by semicolons · with a header"
    )
    table = page.locator("#bulk-chosen table")
    expect(table.locator("thead th")).to_have_text(["Row", "id", "text", "stars"])
    expect(table.locator("tbody tr")).to_have_count(3)
    expect(table.locator("tbody th").first).to_have_text("2")
    expect(table.locator(".chosen-column").first).to_have_text("text")


def test_the_text_column_can_be_chosen_and_the_header_refused(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", "很好吃,太糟糕了太糟糕了\n很好吃,太糟糕了太糟糕了\n".encode())
    expect(page.locator("#bulk-count")).to_have_text("2 texts")
    expect(page.locator("#bulk-column option:checked")).to_have_text("column_2")
    page.check("#bulk-header")
    expect(page.locator("#bulk-header")).to_be_focused()
    page.select_option("#bulk-column", "0")
    expect(page.locator("#bulk-count")).to_have_text("1 text")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 1 text.")
    assert downloaded(page)[0][:2] == ["很好吃", "太糟糕了太糟糕了"]
    assert downloaded(page)[1][2] == "positive"


def test_encoding_and_separator_can_be_corrected(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", "id|text\n1|很好吃，下次还来\n".encode("gb18030"))
    expect(page.locator("#bulk-chosen")).to_contain_text("很好吃")
    page.select_option("#bulk-encoding", "Big5")
    expect(page.locator("#bulk-encoding")).to_be_focused()
    expect(page.locator("#bulk-chosen")).not_to_contain_text("很好吃")
    page.select_option("#bulk-encoding", "GB18030")
    expect(page.locator("#bulk-chosen")).to_contain_text("很好吃")
    expect(page.locator("#bulk-delimiter")).to_have_value("|")
    page.select_option("#bulk-delimiter", ",")
    expect(page.locator("#bulk-chosen thead th")).to_have_text(["Row", "column_1"])


def test_a_guess_is_to_be_checked_and_rows_that_fail_are_told(opened: Opener) -> None:
    page = opened()
    choose(page, "two_text_columns.csv")
    notes = page.locator("#bulk-chosen .waiting")
    expect(notes).to_have_text(
        "Part of this is a guess: please check that the highlighted column holds your texts."
    )
    page.select_option("#bulk-column", "1")
    expect(notes).to_have_count(0)
    page.click("#bulk-chosen button")
    drop(page, "a.csv", "id,text\n1,好\n2,坏,多\n".encode())
    expect(notes).to_have_text(
        "1 row cannot be analysed; the first is row 3: 3 fields where the table has 2."
    )
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("1 row without an answer.")
    assert [row[-1] for row in downloaded(page)[1:]] == ["", "3 fields where the table has 2"]


def test_a_workbook_is_labelled_sheet_by_sheet(opened: Opener) -> None:
    page = opened()
    choose(page, "reviews.xlsx")
    expect(page.locator("#bulk-understood")).to_contain_text("Read as Excel workbook · sheet “")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 5 texts.")
    header, *rows = downloaded(page, "reviews.labelled.csv")
    assert header[-7:-5] == ["label", "confidence"]
    assert rows[0][header.index("评论内容")] == EXPECTED["reviews.xlsx"]["first_text"]


def test_another_sheet_of_a_large_workbook_can_be_chosen(opened: Opener) -> None:
    random = Random(1)
    workbook = Workbook(write_only=True)
    for name in ("一月", "二月"):
        sheet = workbook.create_sheet(name)
        sheet.append(["日期", "评论"])
        for _ in range(3000):
            text = "".join(chr(random.randint(0x4E00, 0x9FA5)) for _ in range(100))
            sheet.append([date(2024, 1, 2), name + text])
    file = io.BytesIO()
    workbook.save(file)
    # From here on its library would unpack in a worker, which the page's policy forbids.
    assert file.tell() > 512 * 1024
    page = opened()
    page.click("#tab-bulk")
    page.set_input_files(
        "#bulk-file", {"name": "a.xlsx", "mimeType": "", "buffer": file.getvalue()}
    )
    cells = page.locator("#bulk-chosen tbody tr").first.locator("td")
    expect(cells).to_contain_text(["2024-01-02", "一月"])
    page.select_option("#bulk-sheet", "二月")
    expect(cells).to_contain_text(["2024-01-02", "二月"])
    expect(page.locator("#bulk-sheet")).to_be_focused()
    expect(page.locator("#bulk-count")).to_have_text("3,000 texts")


def test_a_file_of_which_nothing_can_be_answered_is_not_begun(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.jsonl", b'{"text": 1}\n{"text": 2}\n')
    page.click("#bulk-start")
    expect(page.get_by_role("alert")).to_contain_text("No row of this file can be analysed.")


def zipped(names: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return file.getvalue()


HUGE = b"0" * (65 * 2**20)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "This file contains no text."),
        ("a.csv", bytes(range(256)) * 4, "This file is not text"),
        ("a.json", b'[{"text": "a"', "This file is not valid JSON."),
        ("a.csv.gz", gzip.compress(HUGE), "more than 64 MB"),
        ("a.xlsx", zipped({"xl/workbook.xml": HUGE}), "more than 64 MB"),
        ("a.xlsx", zipped({"xl/workbook.xml": b"<"}), "This file is damaged"),
        ("a.xlsx", b"PK\x03\x04", "This file is damaged"),
        ("a.docx", zipped({"word/document.xml": b"<a/>"}), "not an Excel workbook"),
        ("a.xls", b"\xd0\xcf\x11\xe0", "This is an old Excel workbook"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_table_is_named(opened: Opener, name: str, content: bytes, words: str) -> None:
    page = opened()
    page.click("#tab-bulk")
    page.set_input_files("#bulk-file", {"name": name, "mimeType": "", "buffer": content})
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.locator("#bulk-drop")).to_be_visible()


def test_a_workbook_that_hides_its_length_is_not_unpacked_further(opened: Opener) -> None:
    content = bytearray(zipped({"xl/workbook.xml": HUGE}))
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (100).to_bytes(4, "little")
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.xlsx", bytes(content))
    expect(page.get_by_role("alert")).to_contain_text("This file is damaged")


def test_a_file_that_failed_can_be_mended_and_chosen_again(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    for content, alerts in [(b"", 1), ("text\n好".encode(), 0)]:
        page.set_input_files(
            "#bulk-file", {"name": "a.csv", "mimeType": "text/csv", "buffer": content}
        )
        expect(page.get_by_role("alert")).to_have_count(alerts)
        # A browser tells no change from a file to itself.
        expect(page.locator("#bulk-file")).to_have_value("")
    expect(page.locator("#bulk-chosen")).to_contain_text("a.csv: 1 row")
    expect(page.locator("#bulk-column")).to_be_focused()


def test_a_dropped_file_never_opens_in_the_browser_and_words_land_as_ever(opened: Opener) -> None:
    page = opened()
    assert dropped_at(page, "h1", file=True)  # or it would open in the browser
    assert not dropped_at(page, "#single-text", file=False)
    page.click("#tab-bulk")
    expect(page.locator("#bulk-chosen")).to_be_empty()
    assert not dropped_at(page, "#bulk-lines", file=False)
    assert dropped_at(page, "h1", file=True)
    expect(page.locator("#bulk-column")).to_be_focused()
