"""The key that a service asks for."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    expect,
)

from tests.support.page import Opener

pytestmark = pytest.mark.process


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(
    opened: Opener, guarded: tuple[str, str]
) -> None:
    address, key = guarded
    page = opened(f"{address}/")
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    expect(page.locator("#key-hint")).to_contain_text("whoever runs it can give you one")
    expect(page.locator("#single")).to_have_js_property("inert", True)
    expect(page.locator("#key-refused")).to_be_hidden()
    assert Axe().run(page).response["violations"] == []
    field.fill("密钥")  # no header can hold it
    field.press("Enter")
    expect(field).to_be_visible()
    field.fill("somebody-else's")
    field.press("Enter")
    expect(page.locator("#key-refused")).to_have_text("This key is unknown or has expired.")
    expect(field).to_have_value("")
    field.fill(f" {key} ")
    field.press("Enter")
    expect(page.locator("#answer strong")).to_have_text("Negative")
    expect(page.locator("#gates")).to_be_visible()
    expect(page.locator("#model")).to_contain_text("zh-general")
    page.click("#developers summary")
    expect(page.locator("#developers pre")).to_contain_text("Bearer $SENTIMENT_KEY")
    assert key not in page.content()
    expect(field).to_be_hidden()
    page.reload()
    expect(page.locator("#answer strong")).to_be_visible()
    expect(field).to_be_hidden()
    assert key not in page.evaluate("JSON.stringify(localStorage)")
    expect(opened(f"{address}/").get_by_label("API key")).to_be_visible()


def test_texts_that_wait_for_a_key_are_all_answered_once_it_is_there(
    opened: Opener, guarded: tuple[str, str]
) -> None:
    address, key = guarded
    page = opened(f"{address}/", locale="zh-CN")
    page.click("#tab-compare")
    expect(page.get_by_label("访问密钥")).to_be_visible()
    page.get_by_label("访问密钥").fill(key)
    page.click("#key-form [type=submit]")
    expect(page.locator("#compare-result .label strong")).to_have_text(["正面", "负面"])
    page.click("#tab-single")
    expect(page.locator("#answer strong")).to_have_text("负面")
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃")
    page.click("#bulk-start")
    expect(page.locator("#bulk-summary")).to_contain_text("完成：共 1 条。")


def test_the_docs_page_takes_a_key(opened: Opener, guarded: tuple[str, str]) -> None:
    address, key = guarded
    page = opened(f"{address}/docs")
    page.click("button.authorize")
    page.fill(".auth-container input", key)
    page.click(".auth-btn-wrapper button.authorize")
    page.click(".auth-btn-wrapper button.btn-done")
    page.click("#operations-prediction-predict button")
    page.click("text=Try it out")
    page.click("button.execute")
    expect(page.locator(".live-responses-table")).to_contain_text('"label"')
