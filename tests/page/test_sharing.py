"""What a visitor takes away: corrections, code, the reply, a link; and what a reload keeps."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.support.page import Opener, submit

pytestmark = pytest.mark.process

TEXT = "It's \"很好\", 100%的'好'\\n\n第二行 & #1 😊"


def test_answers_are_marked_right_or_wrong_and_saved(opened: Opener) -> None:
    page = opened()
    expect(page.locator("#answer strong")).to_have_text("Negative")
    right = page.locator("[data-judge=negative]")
    right.click()
    expect(right).to_have_attribute("aria-pressed", "true")
    expect(right).to_be_focused()
    first = page.input_value("#single-text")
    submit(page, '他说"好",\n真的')
    expect(page.locator("#gates")).to_be_visible()
    expect(page.locator("[aria-pressed=true][data-judge]")).to_have_count(0)
    answered = page.locator("#answer .label").get_attribute("data-label")
    page.click("[data-judge=negative]")
    expect(page.locator("#marks-download")).to_have_text("Download 2 corrections (CSV)")
    page.reload()
    expect(page.locator("[data-judge=negative]")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as download:
        page.click("#marks-download")
    assert download.value.suggested_filename == "corrections.csv"
    content = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(content, newline=""))) == [
        ["text", "label", "marked"],
        [first, "negative", "right"],
        ['他说"好",\n真的', "negative", "right" if answered == "negative" else "wrong"],
    ]
    page.click("[data-judge=negative]")
    expect(page.locator("#marks-download")).to_have_text("Download 1 correction (CSV)")
    # Of another tab nothing is known.
    expect(opened().locator("#answer strong")).to_be_visible()
    expect(opened().locator("#marks-download")).to_have_count(0)


def test_the_link_to_the_api_has_the_colour_of_the_words_around_it(opened: Opener) -> None:
    page = opened()
    link = page.locator("#developers a")
    colour = "node => getComputedStyle(node).color"
    assert link.evaluate(colour) == link.locator("..").evaluate(colour)


def code(page: Page, form: str) -> str:
    page.click(f"#code-{form}")
    return page.inner_text("#developers pre")


def test_the_code_that_is_copied_gets_the_reply_that_is_shown(opened: Opener) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    submit(page, TEXT)
    expect(page.locator("#gates")).to_be_visible()
    page.click("#developers summary")
    reply = json.loads(code(page, "reply"))
    page.click("#copy-code")
    expect(page.locator("#copy-code")).to_have_text("Copied")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == reply
    assert reply["text"]["characters"] == len(TEXT)
    curl = subprocess.run(["bash", "-c", code(page, "curl")], capture_output=True, check=True)
    assert json.loads(curl.stdout)["probabilities"] == pytest.approx(
        reply["probabilities"], abs=0.01
    )
    python = subprocess.run(
        [sys.executable, "-c", code(page, "python")], capture_output=True, check=True
    )
    assert python.stdout.decode().startswith(f"{{'label': '{reply['label']}'")
    node = subprocess.run(
        ["node", "--input-type=module", "-e", code(page, "javascript")],
        capture_output=True,
        check=True,
    )
    assert f"label: '{reply['label']}'" in node.stdout.decode()


def test_a_link_holds_text_tab_and_language_and_sends_none_of_them(
    opened: Opener, address: str
) -> None:
    page = opened()
    submit(page, TEXT)
    expect(page.locator("#gates")).to_be_visible()
    page.click("#developers summary")
    link = page.input_value("#developers .address")
    asked: list[Request] = []

    def listen(page: Page) -> None:
        page.on("request", lambda request: asked.append(request))

    other = opened(link, before=listen, locale="zh-CN")
    expect(other.locator("#single-text")).to_have_value(TEXT)
    expect(other.locator("#answer strong")).to_be_visible()
    expect(other.locator("#single-start")).to_have_text("Analyse")  # the link's language
    assert other.url == f"{address}/"
    assert all("#" not in request.url and "%E" not in request.url for request in asked)
    assert [request.url for request in asked if "%E5" in str(request.headers)] == []
    page.click("#tab-compare")
    page.fill("#compare-a", "便宜&好")
    page.click("#compare-start")
    expect(page.locator("#compare-result .tokens")).to_have_count(2)
    other.goto(page.input_value("#compare-result .address"))
    expect(other.locator("#compare-a")).to_have_value("便宜&好")
    expect(other.locator("#compare-result .label strong")).to_have_count(2)


def test_a_reload_keeps_the_text_and_the_tab(opened: Opener) -> None:
    page = opened()
    page.fill("#single-text", "还没有分析的文本")
    page.click("#tab-compare")
    page.fill("#compare-b", "难吃")
    page.click("#language")
    page.reload()
    expect(page.locator("#compare")).to_be_visible()
    expect(page.locator("#compare-b")).to_have_value("难吃")
    expect(page.locator("#single-text")).to_have_value("还没有分析的文本")
    expect(page.locator("h1")).to_have_text("中文情感分析")
    expect(opened().locator("#single-text")).not_to_have_value("还没有分析的文本")


def test_the_model_card_is_behind_the_footer(opened: Opener) -> None:
    page = opened()
    page.click("#card-open")
    card = page.locator("#card")
    expect(card).to_contain_text("Intended use")
    expect(card.locator("table").first).to_be_visible()
    expect(card).not_to_contain_text("**")
    expect(card).not_to_contain_text("|---")
    page.get_by_role("button", name="Close").click()
    expect(card).to_be_hidden()
