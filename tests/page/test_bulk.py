"""Many texts: lines or a file, a run, and the download."""

import pytest
from playwright.sync_api import (
    Route,
    expect,
)

from tests.support.page import Opener, as_csv, downloaded, drop, dropped_at, problem

pytestmark = pytest.mark.process


def test_a_csv_goes_from_drop_to_download(opened: Opener, address: str) -> None:
    texts = [
        f"第{number}次来，{'房间很好，非常满意' if number % 3 else '早餐太差，特别失望'}。"
        for number in range(1000)
    ]
    rows = [[f"00{number}", text, ' a,"b" '] for number, text in enumerate(texts)]
    page = opened()
    page.click("#tab-bulk")
    drop(page, "reviews.csv", as_csv([["id", "评论", "note"], *rows]).encode())
    expect(page.locator("#bulk-count")).to_have_text("1,000 texts")
    expect(page.locator("#bulk-column option:checked")).to_have_text("评论")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("Done: 1,000 texts.")
    expect(page.locator("#bulk-chart")).to_have_attribute(
        "aria-label",
        "Bar chart of the labels: Positive 666 (66.6%), Neutral 0 (0.0%), Negative 334 (33.4%).",
    )
    expect(page.locator("#bulk-result .rows tbody tr")).to_have_count(200)
    expect(page.locator("#bulk-result")).to_contain_text("first 200 of 1,000 rows")
    header, *results = downloaded(page)
    ours = ["label", "confidence", "positive", "neutral", "negative", "error"]
    assert header == ["id", "评论", "note", *ours]
    assert [row[:3] for row in results] == rows
    assert {row[3] for row in results[1::3]} == {"positive"}
    assert {row[3] for row in results[::3]} == {"negative"}
    for row in results:
        assert sum(map(float, row[5:8])) == pytest.approx(1, abs=1e-5)
        assert row[4] == row[5 + ["positive", "neutral", "negative"].index(row[3])]
        assert row[8] == ""


def test_lines_that_are_pasted_get_their_answers_in_order(opened: Opener) -> None:
    page = opened(locale="zh-CN")
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃\n\n" + "长" * 10_001 + "\r\n不好吃\n")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("完成：共 3 条。")
    header, *rows = downloaded(page)
    assert header[:2] == ["text", "label"]
    assert [row[1] for row in rows] == ["positive", "", "negative"]
    assert "10,000" in rows[1][-1]
    expect(page.locator("#bulk-result .pair")).to_contain_text("无结果")


def test_every_input_column_comes_back_letter_for_letter(opened: Opener) -> None:
    rows = [
        ["=1+1\nx", "好吃\n“真的”", "x", ""],
        [" 007 ", "-不好吃", "", "z"],
        ["@a\r\nb", "", "y", ""],
    ]
    names = ["+编号", "内容", "label", "predicted_label"]
    page = opened()
    page.click("#tab-bulk")
    # What a spreadsheet writes in China.
    content = as_csv([names, *rows]).encode("gb18030")
    page.set_input_files("#bulk-file", {"name": "a.csv", "mimeType": "text/csv", "buffer": content})
    expect(page.locator("#bulk-chosen")).to_contain_text("GB18030")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("Done: 3 texts.")
    header, *results = downloaded(page)
    assert header[:6] == [*names, "predicted_predicted_label", "confidence"]
    assert [row[:4] for row in results] == rows
    assert [row[4] for row in results] == ["positive", "negative", ""]
    assert results[2][-1] == "There is nothing to read here. Please enter a text."
    expect(page.locator("#bulk-result")).to_contain_text("4 rows have a cell that begins with")
    page.check("#bulk-escape")
    page.click("#language")
    expect(page.locator("#bulk-escape")).to_be_checked()
    escaped = downloaded(page)
    assert [row[0] for row in escaped] == ["'+编号", "'=1+1\nx", " 007 ", "'@a\r\nb"]
    assert escaped[2][1] == "'-不好吃"


def test_the_text_column_can_be_chosen_and_the_header_refused(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", "很好吃,太糟糕了太糟糕了\n很好吃,太糟糕了太糟糕了\n".encode())
    expect(page.locator("#bulk-count")).to_have_text("2 texts")
    expect(page.locator("#bulk-column option:checked")).to_have_text("column_2")
    page.select_option("#bulk-column", "0")
    page.check("#bulk-header")
    expect(page.locator("#bulk-count")).to_have_text("1 text")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("Done: 1 text.")
    assert downloaded(page)[1][2] == "positive"


def test_a_busy_service_is_asked_again_and_no_text_is_lost(opened: Opener) -> None:
    refusals = [504, 413]
    busy = [True]  # until the page has said so, however slow this machine is

    def refuse(route: Route) -> None:
        if busy:
            problem(route, 429, **{"retry-after": "1"})
        elif refusals:
            problem(route, refusals.pop(0))
        else:
            route.fallback()

    page = opened()
    page.click("#tab-bulk")
    page.route("**/v1/predict/batch", refuse)
    texts = [f"第{number}次很好吃" for number in range(100)]
    page.fill("#bulk-lines", "\n".join(texts))
    page.click("#bulk-start")
    expect(page.locator("#bulk-waiting[role=status]")).to_contain_text("The service is busy")
    busy.clear()
    expect(page.locator("#bulk-done")).to_have_text("Done: 100 texts.")
    assert refusals == []
    rows = downloaded(page)[1:]
    assert [row[0] for row in rows] == texts
    assert {row[1] for row in rows} == {"positive"}


def test_a_run_can_be_cancelled_and_keeps_what_is_done(opened: Opener) -> None:
    let_through = [None]

    def let_one_through(route: Route) -> None:
        if let_through:
            let_through.pop()
            route.fallback()
        # else never answered, until the page gives up

    page = opened()
    page.click("#tab-bulk")
    page.route("**/v1/predict/batch", let_one_through)
    page.fill("#bulk-lines", "很好吃\n" * 300)
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("64 of 300 texts")
    expect(page.locator("#bulk-bar")).to_have_js_property("value", 64)
    page.click("#bulk-cancel")
    expect(page.locator("#bulk-done")).to_have_text("Cancelled: 64 of 300 texts done.")
    rows = downloaded(page)[1:]
    assert sum(row[1] == "positive" for row in rows) == 64
    assert sum(row[-1] == "not analysed" for row in rows) == 236


def test_a_file_that_is_no_text_gets_a_sentence(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", b"\x81\xff\x00")
    expect(page.get_by_role("alert")).to_contain_text("This file cannot be read.")
    drop(page, "a.csv", b"")
    expect(page.get_by_role("alert")).to_contain_text("This file contains no text.")


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
    expect(page.locator("#bulk-chosen")).to_contain_text("a.csv: 1 row ·")
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
