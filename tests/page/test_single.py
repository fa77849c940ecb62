"""One text: its label, sentences and tokens, and what is said of a problem."""

import json
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import (
    Route,
    expect,
)

from tests.support.page import (
    Opener,
    as_csv,
    drop,
    hold,
    problem,
    release,
    submit,
    write_half_a_character,
)
from tests.support.process import served

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("language", "label", "confidence"),
    [("en-GB", "Positive", "confidence"), ("zh-CN", "正面", "置信度")],
)
def test_a_text_that_is_typed_gets_its_label(
    opened: Opener, language: str, label: str, confidence: str
) -> None:
    page = opened(locale=language)
    submit(page, "這家餐廳的服務真的很貼心😊 下次一定再來！")
    expect(page.locator("#answer strong")).to_have_text(label)
    expect(page.locator("#answer .confidence")).to_contain_text(confidence)
    expect(page.locator("#answer .bars > div")).to_have_count(3)
    expect(page.locator("#announcer")).to_contain_text(label)
    expect(page.locator("html")).to_have_attribute("lang", {"en-GB": "en"}.get(language, language))


def test_the_first_example_is_answered_and_explained_at_once(opened: Opener, address: str) -> None:
    page = opened()
    text = page.input_value("#single-text")
    expect(page.locator("#answer strong")).to_have_text("Negative")
    answer = httpx2.post(f"{address}/v1/analyze", json={"text": text}).json()
    sentences = page.locator(".sentence")
    expect(sentences).to_have_count(len(answer["sentences"]))
    for shown, sentence in zip(sentences.all(), answer["sentences"], strict=True):
        assert sentence["text"] in shown.inner_text()
        assert shown.get_attribute("data-label") == sentence["label"]
        assert sentence["label"].title() in (shown.get_attribute("aria-label") or "")
    explanation = httpx2.post(f"{address}/v1/explain", json={"text": text}).json()
    tokens = page.locator(".tokens .token")
    units = explanation["tokens"]
    expect(tokens).to_have_count(len(units))
    for shown, unit in zip(tokens.all(), units, strict=True):
        classes = (shown.get_attribute("class") or "").split()
        marked = ("dropped" in classes, "unknown" in classes)
        assert marked == (unit["dropped"], bool(unit["unknown"]))
    read = [unit for unit in units if unit["gates"]]
    assert 0 < len(read) < len(units)
    expect(page.locator("#gates")).not_to_have_attribute("open", "")
    page.click("#gates summary")
    expect(page.locator(".heat td")).to_have_count(8 * len(read))
    expect(page.locator("#model")).to_contain_text(answer["model"]["name"])


def test_the_gates_explain_themselves_to_the_pointer_and_to_the_keyboard(opened: Opener) -> None:
    page = opened()
    submit(page, "不好吃")
    cells = page.locator(".heat tr.forget td")
    expect(cells).to_have_count(4)  # two tokens, two directions
    expect(page.locator("#gates .lead")).to_contain_text("wrote most into the memory")
    expect(page.locator("#gates .lead")).to_be_hidden()
    page.click("#gates summary")
    expect(page.locator("#gates .lead")).to_be_visible()
    words = cells.first.get_attribute("aria-label") or ""
    assert words.startswith("Forwards, the forget gate of “不” is ")
    assert f" {cells.first.inner_text()}% open on average" in words
    assert words.endswith("of the memory is kept.")
    cells.first.hover()
    expect(page.locator("#tip")).to_have_text(words)
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()
    page.locator(".heat td").first.focus()
    page.keyboard.press("ArrowDown")
    expect(cells.first).to_be_focused()
    expect(page.locator("#tip")).to_have_text(words)
    page.keyboard.press("ArrowRight")
    expect(cells.nth(1)).to_be_focused()
    # One stop for the Tab key, however many cells there are.
    assert page.locator('.heat td[tabindex="0"]').count() == 1


def test_an_uncertain_answer_says_why(opened: Opener, address: str) -> None:
    page = opened()
    submit(page, "hello 123")
    expect(page.locator("#answer .uncertain")).to_contain_text("No Chinese word was read")
    reply = httpx2.post(f"{address}/v1/predict", json={"text": "hello 123"}).json()
    reply["uncertain_because"] = ["low_confidence", "unknown_words"]
    page.route("**/v1/predict", lambda route: route.fulfill(body=json.dumps(reply)))
    page.click("#single-start")
    expect(page.locator("#answer .uncertain")).to_have_text(
        "Low confidence – have someone check this. "
        "The model does not know at least half of its words."
    )


def test_punctuation_is_grey_and_unknown_words_are_marked(opened: Opener) -> None:
    page = opened()
    submit(page, "房间🪗不错！！")
    marks = page.locator(".tokens .punctuation")
    expect(marks).to_have_text(["！！"])  # without a number
    assert marks.first.get_attribute("data-label") is None
    expect(page.locator(".tokens .unknown .word")).to_have_text(["🪗"])
    submit(page, "房间很好，拉了个🪗。" * 40)
    expect(page.locator(".tokens.clauses .lacking").first).to_have_text("🪗")


def test_the_reasons_are_led_by_a_sentence(opened: Opener) -> None:
    page = opened(locale="zh-CN")
    submit(page, "不好吃")
    expect(page.locator("#single-result .lead").first).to_contain_text("判为负面，主要因为“不”")


def test_tips_and_wide_tables_hide_nothing(opened: Opener) -> None:
    page = opened(viewport={"width": 900, "height": 900})
    expect(page.locator("#gates")).to_be_visible()
    page.click("#gates summary")
    box = page.locator("#gates .scroll")
    expect(box).to_have_attribute("data-more-after", "")
    box.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
    expect(box).to_have_attribute("data-more-before", "")
    assert box.get_attribute("data-more-after") is None
    for explained in (".heat td", ".tokens .token", ".sentence"):
        for item in (page.locator(explained).first, page.locator(explained).last):
            item.scroll_into_view_if_needed()
            # Scrolling puts the tip away, and is told of in the next frame.
            page.evaluate("new Promise((done) => setTimeout(done, 100))")
            item.hover()
            expect(page.locator("#tip")).to_be_visible()
            expect(page.locator("#tip")).to_have_text(item.get_attribute("data-tip") or "")
            group = item.evaluate_handle("item => item.closest('[data-tips]')").as_element()
            assert group
            tip, whole = page.locator("#tip").bounding_box(), group.bounding_box()
            assert tip
            assert whole
            above = tip["y"] + tip["height"] <= whole["y"]
            assert above or tip["y"] >= whole["y"] + whole["height"]


def test_a_long_text_is_explained_by_its_clauses(opened: Opener) -> None:
    page = opened()
    submit(page, "房间干净，前台也很热情。就是早餐太差。" * 30)
    expect(page.locator("#answer strong")).to_be_visible()
    expect(page.locator(".tokens.clauses .token")).to_have_count(90)
    expect(page.locator(".clauses .word").first).to_have_text("房间干净，")
    expect(page.locator(".sentence")).to_have_count(10)
    expect(page.locator(".counts")).to_have_text("▲Positive 30●Neutral 0▼Negative 30")
    page.click("#all-sentences")
    expect(page.locator(".sentence")).to_have_count(60)
    expect(page.locator(".sentence").nth(10)).to_be_focused()
    submit(page, "好。" * 3000)
    expect(page.locator("#single-result")).to_contain_text("too many sentences")
    expect(page.locator("#answer strong")).to_be_visible()


def test_a_text_of_which_nothing_is_read_says_so(opened: Opener) -> None:
    nothing = json.dumps(
        {"unit": "token", "tokens": [], "clauses": [], "reference": {"difference": 0}}
    )
    page = opened()
    page.route("**/v1/explain", lambda route: route.fulfill(body=nothing))
    submit(page, "👍")
    expect(page.locator("#single-result")).to_contain_text("No word of this text was read")
    expect(page.locator(".heat")).to_have_count(0)
    page.click("#tab-compare")
    expect(page.locator("#compare-result")).to_contain_text("No word of this text was read")
    expect(page.locator("#compare-result .legend")).to_have_count(0)


def test_what_comes_later_leaves_the_focus_where_it_is(opened: Opener) -> None:
    held: list[Route] = []
    page = opened(before=lambda page: hold(page, "**/v1/explain", held))
    sentence = page.locator(".sentence").first
    sentence.focus()
    release(page, held)
    expect(page.locator("#gates")).to_be_visible()
    expect(sentence).to_be_focused()

    page.click("#tab-compare")
    expect(page.locator("#compare-result .label strong")).to_have_count(2)
    tokens = page.locator("#compare-result .tokens")
    release(page, held)
    tokens.locator(".token").first.focus()
    release(page, held)
    expect(tokens).to_have_count(2)
    expect(page.locator("#compare-result .token:focus")).to_have_count(1)


def test_texts_never_become_html(opened: Opener) -> None:
    page = opened()
    expect(page.locator("#gates")).to_be_visible()
    images = page.locator("img").count()
    hostile = "<img src=x onerror=document.title=1> 房间很好 <script>document.title=1</script>"
    submit(page, hostile)
    expect(page.locator("#single-result .sentence").first).to_contain_text("房间很好")
    page.click("#tab-bulk")
    drop(page, "<img src=x>.csv", as_csv([["<img src=x>", "text"], ["<b>", hostile]]).encode())
    expect(page.locator("#bulk-count")).to_have_text("1 text")
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()
    expect(page.locator("#bulk-result")).to_contain_text("<img src=x onerror")
    assert page.locator("img").count() == images
    assert page.title() == "Chinese sentiment analysis"


# Errors


@pytest.mark.parametrize(
    ("text", "language", "sentence"),
    [
        (" \n", "en-GB", "There is nothing to read here. Please enter a text."),
        (" \n", "zh-CN", "这里没有可读的内容，请输入文本。"),
        ("好" * 10_001, "en-GB", "at most 10,000 characters"),
        ("好" * 10_001, "zh-CN", "一次最多读取 10,000 字"),
    ],
)
def test_a_text_that_cannot_be_read_gets_a_sentence(
    opened: Opener, text: str, language: str, sentence: str
) -> None:
    page = opened(locale=language)
    expect(page.locator("#single-count")).to_contain_text("10,000")
    submit(page, text)
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.locator("#answer")).to_have_count(0)


def test_an_early_refusal_gets_its_number_once_the_limit_is_known(opened: Opener) -> None:
    held: list[Route] = []
    page = opened(before=lambda page: hold(page, "**/v1/model", held))
    expect(page.locator("#gates")).to_be_visible()
    submit(page, "好" * 10_001)
    expect(page.get_by_role("alert")).to_have_text("This text is too long. Please shorten it.")
    release(page, held)
    expect(page.get_by_role("alert")).to_contain_text("at most 10,000 characters")


def test_half_a_character_is_not_taken_for_a_blank_text(opened: Opener) -> None:
    page = opened()
    write_half_a_character(page, "#single-text")
    page.click("#single-form [type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("half a character")
    page.click("#tab-bulk")
    write_half_a_character(page, "#bulk-lines")
    page.click("#bulk-start")
    expect(page.locator("#bulk-result .rows")).to_contain_text("half a character")


def test_a_service_that_loads_or_is_busy_is_asked_again(opened: Opener) -> None:
    refused_with = [503]  # until the page has said so, however slow this machine is

    def refuse(route: Route) -> None:
        if refused_with:
            problem(route, refused_with[0], **{"retry-after": "1"})
        else:
            route.fallback()

    page = opened(before=lambda page: page.route("**/v1/predict", refuse))
    waiting = page.locator("#single-waiting[role=status]")
    expect(waiting).to_have_text("The model is still loading; the answer will appear by itself …")
    refused_with[:] = [429]
    expect(waiting).to_have_text("The service is busy; asking again in 1 s …")
    refused_with.clear()
    expect(page.locator("#answer strong")).to_have_text("Negative")
    expect(waiting).to_have_text("")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (None, "The service cannot be reached."),
        (408, "The text did not arrive in time."),
        (500, "The service failed; see its log"),
        (502, "The service cannot be reached."),  # a proxy says so
        (504, "The answer took too long."),
    ],
)
def test_a_service_that_fails_is_told_in_words(
    opened: Opener, status: int | None, sentence: str
) -> None:
    page = opened()
    expect(page.locator("#answer")).to_be_visible()
    page.route("**/v1/predict", lambda route: problem(route, status) if status else route.abort())
    submit(page, "好")
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    assert "raw words" not in page.inner_text("body")


def test_a_model_that_cannot_be_loaded_is_not_waited_for(opened: Opener, tmp_path: Path) -> None:
    with served(tmp_path, tmp_path / "log") as (_, address):
        page = opened(address)
        expect(page.get_by_role("alert")).to_contain_text("The model could not be loaded.")
