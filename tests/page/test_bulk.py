"""Many texts: lines or a file, a run, and the download."""

import json

import pytest
from playwright.sync_api import Response, Route, expect

from tests.support.page import Opener, as_csv, downloaded, drop, problem

pytestmark = pytest.mark.process

STREAM = "**/v1/predict/stream"
ADDED = ["label", "confidence", "uncertain", "positive", "neutral", "negative", "error"]


def test_a_csv_goes_from_drop_to_download(opened: Opener, address: str) -> None:
    texts = [
        f"第{number}次来，{'房间很好，非常满意' if number % 3 else '早餐太差，特别失望'}。"
        for number in range(1000)
    ]
    rows = [[f"00{number}", text, ' a,"b" '] for number, text in enumerate(texts)]
    statuses: list[int] = []

    def note(response: Response) -> None:
        if "/v1/predict/" in response.url:
            statuses.append(response.status)

    page = opened(before=lambda page: page.on("response", note))
    page.click("#tab-bulk")
    drop(page, "hotel.reviews.csv", as_csv([["id", "评论内容", "note"], *rows]).encode())
    expect(page.locator("#bulk-count")).to_have_text("1,000 texts")
    expect(page.locator("#bulk-column option:checked")).to_have_text("评论内容")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 1,000 texts.")
    expect(page.locator("#bulk-result tr[data-label=positive] td").first).to_have_text("666")
    expect(page.locator("#bulk-result tr[data-label=negative] td").first).to_have_text("334")
    assert set(statuses) == {200}  # one request at a time, so none is refused
    header, *results = downloaded(page, "hotel.reviews.labelled.csv")
    assert header == ["id", "评论内容", "note", *ADDED]
    assert [row[:3] for row in results] == rows
    assert {row[3] for row in results[1::3]} == {"positive"}
    assert {row[3] for row in results[::3]} == {"negative"}
    for row in results:
        assert sum(map(float, row[6:9])) == pytest.approx(1, abs=1e-5)
        assert row[4] == row[6 + ["positive", "neutral", "negative"].index(row[3])]
        assert row[5] == "false"
        assert row[9] == ""


def test_lines_that_are_pasted_get_their_answers_in_order(opened: Opener) -> None:
    page = opened(locale="zh-CN")
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃\n\n" + "长" * 10_001 + "\r\n说不上好，也说不上坏？\n")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("完成：共 3 条。")
    expect(page.locator("#bulk-summary")).to_contain_text("1 行无结果。")
    # The rows are those of the lines, blank ones counted; why one failed is in the page's language.
    shown = page.locator("#bulk-rows tbody tr")
    assert [row.split("\t")[0].strip() for row in shown.all_inner_texts()] == ["1", "3", "4"]
    expect(shown.nth(1)).to_contain_text("文本太长")
    header, *rows = downloaded(page, "texts.labelled.csv")
    assert header == ["text", *ADDED]
    assert [row[1] for row in rows[:2]] == ["positive", ""]
    assert "10000" in rows[1][-1].replace(",", "")


def test_uncertain_answers_are_marked_counted_and_saved(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃\nhello\n太糟糕了")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("1 uncertain (33.3%).")
    expect(page.locator("#bulk-rows tbody tr").nth(1)).to_contain_text("uncertain")
    expect(page.locator("#bulk-rows .badge")).to_have_count(1)
    assert [row[3] for row in downloaded(page)[1:]] == ["false", "true", "false"]


def test_every_input_column_comes_back_letter_for_letter(opened: Opener) -> None:
    rows = [
        ["=1+1\nx", "好吃\n“真的”", "x", ""],
        [" 007 ", "-不好吃", "", "z"],
        ["@a\r\nb", "", "y", ""],
    ]
    names = ["+编号", "内容", "Label", "sentiment_label"]
    page = opened()
    page.click("#tab-bulk")
    # What a spreadsheet writes in China.
    content = as_csv([names, *rows]).encode("gb18030")
    page.set_input_files("#bulk-file", {"name": "a.csv", "mimeType": "text/csv", "buffer": content})
    expect(page.locator("#bulk-understood")).to_contain_text("GB18030")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 3 texts.")
    header, *results = downloaded(page)
    assert header == [*names, *(f"sentiment2_{name}" for name in ADDED)]
    assert [row[:4] for row in results] == rows
    assert [row[4] for row in results] == ["positive", "negative", ""]
    assert "blank" in results[2][-1]
    expect(page.locator("#bulk-rows tbody tr").last).to_contain_text("This row is blank.")
    expect(page.locator("#bulk-result")).to_contain_text("4 rows have a cell that begins with")
    page.check("#bulk-escape")
    page.click("#language")
    expect(page.locator("#bulk-escape")).to_be_checked()
    escaped = downloaded(page)
    assert [row[0] for row in escaped] == ["'+编号", "'=1+1\nx", " 007 ", "'@a\r\nb"]
    assert escaped[2][1] == "'-不好吃"


def test_a_busy_service_is_asked_again_and_no_text_is_lost(opened: Opener) -> None:
    busy = [True]  # until the page has said so, however slow this machine is

    def refuse(route: Route) -> None:
        if busy:
            problem(route, 429, **{"retry-after": "1"})
        else:
            route.fallback()

    page = opened()
    page.click("#tab-bulk")
    page.route(STREAM, refuse)
    texts = [f"第{number}次很好吃" for number in range(100)]
    page.fill("#bulk-lines", "\n".join(texts))
    page.click("#bulk-start")
    expect(page.locator("#bulk-waiting[role=status]")).to_contain_text("The service is busy")
    busy.clear()
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 100 texts.")
    rows = downloaded(page)[1:]
    assert [row[0] for row in rows] == texts
    assert {row[1] for row in rows} == {"positive"}


def test_what_a_service_leaves_when_it_shuts_down_is_sent_again(opened: Opener) -> None:
    answer = {
        "label": "neutral",
        "confidence": 1,
        "probabilities": {"positive": 0, "neutral": 1, "negative": 0},
        "uncertain": False,
    }
    lines = [answer, {"error": {"status": 503, "detail": "bye"}}, {"summary": {"lines": 1}}]
    stopped = "".join(f"{json.dumps(line)}\n" for line in lines)
    left = [stopped]

    def stop_once(route: Route) -> None:
        if left:
            route.fulfill(body=left.pop(), content_type="application/x-ndjson")
        else:
            route.fallback()

    page = opened()
    page.click("#tab-bulk")
    page.route(STREAM, stop_once)
    page.fill("#bulk-lines", "很好吃\n太糟糕了\n很好吃")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 3 texts.")
    assert [row[1] for row in downloaded(page)[1:]] == ["neutral", "negative", "positive"]


def test_a_run_can_be_cancelled_and_keeps_what_is_done(opened: Opener) -> None:
    let_through = [None]

    def let_one_through(route: Route) -> None:
        if let_through:
            let_through.pop()
            route.fallback()
        # else never answered, until the page gives up

    page = opened()
    page.click("#tab-bulk")
    page.route(STREAM, let_one_through)
    page.fill("#bulk-lines", "很好吃\n" * 300)
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_contain_text("128 of 300 texts")
    expect(page.locator("#bulk-bar")).to_have_js_property("value", 128)
    page.click("#bulk-cancel")
    expect(page.locator("#bulk-summary")).to_contain_text("Cancelled: 128 of 300 texts done.")
    expect(page.locator("#bulk-progress")).to_be_hidden()
    rows = downloaded(page)[1:]
    assert sum(row[1] == "positive" for row in rows) == 128
    assert sum(row[-1] == "not analysed" for row in rows) == 172


def test_the_form_is_busy_at_once_and_says_when_it_still_waits(opened: Opener) -> None:
    page = opened(before=lambda page: page.clock.install())
    page.click("#tab-bulk")
    page.route(STREAM, lambda route: None)
    page.fill("#bulk-lines", "很好吃")
    start = page.locator("#bulk-start")
    assert start.evaluate("start => { start.click(); return start.ariaBusy; }") == "true"
    expect(start).to_have_text("Analysing…")
    page.clock.fast_forward(11_000)
    expect(page.locator("#bulk-waiting")).to_contain_text("Still waiting")
    page.click("#bulk-cancel")
    expect(start).to_be_enabled()
    expect(start).to_be_focused()


def test_a_run_tells_its_rate_and_the_time_left(opened: Opener) -> None:
    held: list[Route] = []

    def hold_the_second(route: Route) -> None:
        held.append(route)
        if len(held) == 1:
            route.fallback()

    page = opened(before=lambda page: page.clock.install())
    page.click("#tab-bulk")
    page.route(STREAM, hold_the_second)
    page.fill("#bulk-lines", "很好吃\n" * 256)
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_contain_text("128 of 256 texts")
    page.clock.fast_forward(4_000)
    expect(page.locator("#bulk-done")).to_contain_text("per second ·")
    expect(page.locator("#bulk-done")).to_contain_text("s left")
    held[1].fallback()
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 256 texts.")


@pytest.mark.parametrize("during", ["run", "file"])
def test_a_service_that_is_down_is_said_to_be_unreachable(opened: Opener, during: str) -> None:
    page = opened()
    expect(page.locator("#model")).not_to_be_empty()
    page.click("#tab-bulk")
    page.route("**/*", lambda route: route.abort())
    if during == "run":
        page.fill("#bulk-lines", "很好吃")
        page.click("#bulk-start")
    else:
        drop(page, "a.xlsx", b"PK\x03\x04")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    expect(page.locator("#bulk-start")).to_be_enabled()


def test_a_new_file_clears_what_belonged_to_the_last_one(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "first.csv", "text\n很好吃".encode())
    page.click("#bulk-start")
    expect(page.locator("#bulk-result")).to_contain_text("Results: first.csv")
    page.locator("#bulk-chosen button").click()
    expect(page.locator("#bulk-result")).to_be_empty()
    drop(page, "second.csv", "text\n太糟糕了\n很好吃".encode())
    page.route(STREAM, lambda route: None)
    page.click("#bulk-start")
    expect(page.locator("#bulk-progress")).to_be_visible()
    # It ends a run too.
    page.evaluate("document.querySelector('#bulk-drop').hidden = false")
    drop(page, "third.csv", "text\n好".encode())
    expect(page.locator("#bulk-progress")).to_be_hidden()
    expect(page.locator("#bulk-start")).to_be_enabled()
    page.unroute(STREAM)
    page.click("#bulk-start")
    expect(page.locator("#bulk-result")).to_contain_text("Results: third.csv")
    assert [row[0] for row in downloaded(page, "third.labelled.csv")] == ["text", "好"]


def test_other_lines_clear_the_result(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    page.click("#bulk-example")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("Done: 8 texts.")
    page.fill("#bulk-lines", "别的")
    expect(page.locator("#bulk-result")).to_be_empty()
