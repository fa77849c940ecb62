"""The result of many texts: its rows, a chart of them, and what the visitor corrects."""

import pytest
from playwright.sync_api import Dialog, Locator, Page, Route, expect

from tests.support.page import Opener, as_csv, drop, saved

pytestmark = pytest.mark.process

NAMES = ["评论内容", "日期", "城市"]
TEXTS = ["房间很好，非常满意", "早餐太差，特别失望", "hello"]
CITIES = ["北京", "上海"]


def analysed(opened: Opener, number: int = 240, **how: object) -> Page:
    """Returns the page after a run over rows of which every third is uncertain."""
    rows = [
        [f"{TEXTS[i % 3]}{i}", f"2024-0{1 + i * 3 // number}-1{i % 2}", CITIES[i % 2]]
        for i in range(number)
    ]
    page = opened(**how)
    page.click("#tab-bulk")
    drop(page, "酒店.csv", as_csv([NAMES, *rows]).encode("utf-16"))
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()
    return page


def rows_of(page: Page) -> Locator:
    return page.locator("#bulk-rows tbody tr")


def cells(page: Page, column: int) -> list[str]:
    return page.locator(f"#bulk-rows tbody td:nth-child({column})").all_inner_texts()


def test_rows_have_the_numbers_of_the_file_and_come_a_page_at_a_time(opened: Opener) -> None:
    page = analysed(opened)
    expect(rows_of(page)).to_have_count(100)
    assert cells(page, 1)[:2] == ["2", "3"]  # the header is row 1
    expect(page.locator("#bulk-range")).to_have_text("Rows 1 to 100 of 240")
    page.click("#bulk-next")
    expect(page.locator("#bulk-next")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#bulk-range")).to_have_text("Rows 201 to 240 of 240")
    assert cells(page, 1)[-1] == "241"
    # The button that cannot be used any more hands its focus on.
    expect(page.locator("#bulk-previous")).to_be_focused()


def test_rows_are_sorted_filtered_and_searched(opened: Opener) -> None:
    page = analysed(opened)
    page.click("#bulk-sort-confidence")
    page.click("#bulk-sort-confidence")
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("#bulk-sort-confidence")).to_be_focused()
    shown = [float(cell.rstrip("%")) for cell in cells(page, 4)]
    assert shown == sorted(shown, reverse=True)
    page.select_option("#bulk-only", "uncertain")
    expect(page.locator("#bulk-range")).to_have_text("Rows 1 to 80 of 80")
    assert all("uncertain" in cell for cell in cells(page, 3))
    page.select_option("#bulk-only", "certain")
    page.select_option("#bulk-by-label", "negative")
    expect(page.locator("#bulk-range")).to_have_text("Rows 1 to 80 of 80")
    assert all("Negative" in cell for cell in cells(page, 3))
    page.fill("#bulk-search", "失望7")
    assert len(cells(page, 1)) == sum(str(i)[0] == "7" for i in range(1, 240, 3))
    page.fill("#bulk-search", "nothing like it")
    expect(page.locator("#bulk-range")).to_have_text("No row fits.")
    # What was found for another file starts anew.
    page.click("#bulk-start")
    expect(page.locator("#bulk-search")).to_have_value("")


def test_a_row_opens_its_reasons_by_click_and_keyboard(opened: Opener) -> None:
    page = analysed(opened, 6)
    page.locator("#bulk-rows .why").nth(1).click()
    expect(page.locator("#single")).to_be_visible()
    expect(page.locator("#single-text")).to_have_value(f"{TEXTS[1]}1")
    expect(page.locator("#answer strong")).to_have_text("Negative")
    page.click("#tab-bulk")
    page.locator("#bulk-rows .why").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#single-text")).to_have_value(f"{TEXTS[0]}0")
    expect(page.locator("#answer strong")).to_have_text("Positive")


def test_the_way_back_from_a_text_leads_to_its_row(opened: Opener) -> None:
    page = analysed(opened, 6)
    for back in (page.go_back, lambda: page.click("#single-back")):
        expect(page.locator("#bulk")).to_be_visible()
        page.locator("#bulk-rows .why").nth(1).click()
        expect(page.locator("#answer strong")).to_have_text("Negative")
        back()
        expect(page.locator("#bulk")).to_be_visible()
        expect(page.locator("#single-back")).to_be_hidden()
        expect(rows_of(page)).to_have_count(6)


def test_marks_that_are_in_no_file_are_not_left_without_a_question(opened: Opener) -> None:
    page = analysed(opened, 6)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.locator("#bulk-rows .marker").nth(0).locator("label[data-label=positive]").click()
    with page.expect_event("dialog"):
        page.evaluate("() => { setTimeout(() => location.reload()) }")
    assert asked == ["beforeunload"]
    expect(rows_of(page)).to_have_count(6)
    saved(page, "#bulk-save-marks", "酒店.corrected.csv")
    page.reload()
    assert asked == ["beforeunload"]


def test_a_file_of_some_marks_leaves_the_others_unsaved(opened: Opener) -> None:
    page = analysed(opened, 6)
    asks = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    page.click("#tab-single")
    page.click("[data-judge=negative]")
    page.click("#tab-bulk")
    page.locator("#bulk-rows .marker label[data-label=positive]").first.click()
    saved(page, "#bulk-save-marks")
    assert page.evaluate(asks)  # the text of the other tab is in no file
    page.click("#tab-single")
    assert saved(page, "#marks-download")[1][1:] == ["negative", "right"]
    assert not page.evaluate(asks)
    page.click("[data-judge=neutral]")
    assert page.evaluate(asks)
    page.click("[data-judge=neutral]")  # not marked after all
    assert not page.evaluate(asks)


def test_a_label_is_not_broken_on_a_narrow_screen(opened: Opener) -> None:
    page = opened(viewport={"width": 375, "height": 800}, locale="zh-CN")
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "\n".join(text * 20 for text in TEXTS))
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()
    names = page.locator("#bulk-rows td[data-label] > span:first-child")
    expect(names).to_have_count(3)
    for name in names.all():
        assert name.evaluate("name => name.getClientRects().length") == 1
        assert "\n" not in name.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    table = page.locator("#bulk-rows")
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")


def test_marked_rows_are_saved_for_training(opened: Opener) -> None:
    page = analysed(opened, 6)
    expect(page.locator("#bulk-marks")).to_be_hidden()
    marks = page.locator("#bulk-rows .marker")
    marks.nth(0).locator("label[data-label=positive]").click()  # right
    marks.nth(1).locator("label[data-label=neutral]").click()  # wrong
    marks.nth(3).locator("input").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # not marked after all
    expect(page.locator("#bulk-marked")).to_have_text("2 texts marked by you")
    expect(page.locator("#bulk-marks code")).to_have_text(
        ".venv/bin/sentiment train --from zh-general 酒店.corrected.csv"
    )
    assert saved(page, "#bulk-save-marks", "酒店.corrected.csv") == [
        ["text", "label", "marked", "row"],
        [f"{TEXTS[0]}0", "positive", "right", "2"],
        [f"{TEXTS[1]}1", "neutral", "wrong", "3"],
    ]
    page.select_option("#bulk-only", "marked")
    expect(rows_of(page)).to_have_count(2)
    expect(rows_of(page).nth(1).locator("input:checked")).to_have_value("neutral")


def test_a_chart_follows_the_dates_or_the_categories_of_a_column(opened: Opener) -> None:
    page = analysed(opened)
    options = page.locator("#bulk-group option")
    assert options.all_inner_texts() == NAMES[1:]  # dates first
    page.locator("#bulk-result summary").click()
    numbers = page.locator("#bulk-groups tbody tr")
    # Days from 10 January to 11 March would be too many bars.
    assert numbers.first.inner_text().startswith("2024-01-08")
    assert numbers.last.inner_text().startswith("2024-03-11")
    page.select_option("#bulk-group", label="城市")
    expect(numbers).to_have_count(2)
    by_city = [row.split("\t") for row in numbers.all_inner_texts()]
    assert [row[0] for row in by_city] == CITIES
    assert [sum(int(cell.split()[0]) for cell in row[1:]) for row in by_city] == [120, 120]
    expect(page.locator("#bulk-chart")).to_have_attribute(
        "aria-label", "Stacked bars of the labels by 城市, 2 in all; the numbers follow as a table."
    )
    page.check("#bulk-shares")
    page.click("#theme")
    # It was painted: a canvas without marks is all transparent.
    painted = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
        .data.some(value => value)"""
    assert page.locator("#bulk-chart").evaluate(painted)


def test_a_file_without_such_a_column_has_no_chart(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", "id,text\n1,好\n2,坏\n3,行".encode())
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()
    expect(page.locator("#bulk-group")).to_have_count(0)


def test_twenty_thousand_rows_stay_usable(opened: Opener) -> None:
    """The answers are made up here: what is tried is the page."""
    answer = (
        '{"label": "neutral", "confidence": 0.9, "uncertain": false, '
        '"probabilities": {"positive": 0.05, "neutral": 0.9, "negative": 0.05}}\n'
    )
    page = opened()
    page.click("#tab-bulk")

    def fulfil(route: Route) -> None:
        lines = (route.request.post_data or "").count("\n")
        body = answer * lines + f'{{"summary": {{"lines": {lines}}}}}\n'
        route.fulfill(body=body, content_type="application/x-ndjson")

    page.route("**/v1/predict/stream", fulfil)
    drop(page, "a.csv", ("text\n" + "很好吃\n" * 20_000).encode())
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 20,000 texts.")
    expect(page.locator("#bulk-result .rows tr")).to_have_count(101)
    milliseconds = page.evaluate(
        """() => {
            const start = performance.now();
            document.querySelector("#bulk-sort-confidence").click();
            return performance.now() - start;
        }"""
    )
    assert milliseconds < 2000  # on a busy machine; a hundredth of that on others
