"""The page as a whole, and /docs: accessibility, languages, size, policy."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient
from playwright.sync_api import (
    Page,
    Route,
    ViewportSize,
    expect,
)

from service.app import create_app
from service.settings import load_settings
from tests.support.page import Opener, drop, hold, release, submit

pytestmark = pytest.mark.process

PHONE: ViewportSize = {"width": 360, "height": 740}
TABS = ["single", "compare", "bulk"]
MOST_BYTES = 300_000


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(opened: Opener, theme: str, language: str) -> None:
    page = opened(locale=language, color_scheme=theme, reduced_motion="reduce")
    expect(page.locator("#gates")).to_be_visible()
    found = {"single": Axe().run(page)}
    page.click("#gates summary")
    page.click("#developers summary")
    page.click("[data-judge=neutral]")
    found["open"] = Axe().run(page)
    page.click("#card-open")
    expect(page.locator("#card")).to_contain_text("Intended use")
    found["card"] = Axe().run(page)
    page.keyboard.press("Escape")
    submit(page, "房间干净，拉了个🪗。就是早餐太差。" * 30)
    expect(page.locator(".tokens.clauses")).to_be_visible()
    page.fill("#single-text", "好")
    expect(page.locator("#answer .waiting")).to_be_visible()
    found["stale"] = Axe().run(page)
    held: list[Route] = []
    hold(page, "**/v1/predict", held)
    page.click("#single-start")
    expect(page.locator(".skeleton")).to_have_count(3)
    found["busy"] = Axe().run(page)
    release(page, held)
    page.unroute("**/v1/predict")
    page.click("#tab-compare")
    expect(page.locator("#compare-result .tokens")).to_have_count(2)
    found["compare"] = Axe().run(page)
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃\n不好吃")
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()
    found["bulk"] = Axe().run(page)
    content = "日期,城市,评论内容\n2024-01-01,北京,很好吃\n2024-02-01,北京,hello\n2024-02-01,北京\n"
    drop(page, "a.csv", (content + "2024-02-02,上海,差\n2024-02-03,上海,好\n").encode())
    expect(page.locator("#bulk-column")).to_be_visible()
    found["file"] = Axe().run(page)
    page.click("#bulk-start")
    expect(page.locator("#bulk-chart")).to_be_visible()
    page.locator("#bulk-result summary").click()
    page.locator("#bulk-rows .marker label").last.click()
    expect(page.locator("#bulk-marked")).to_be_visible()
    found["rows"] = Axe().run(page)
    page.route("**/v1/predict/stream", lambda route: None)
    page.click("#bulk-start")
    expect(page.locator("#bulk-progress")).to_be_visible()
    found["busy"] = Axe().run(page)
    violations = [
        (tab, violation["id"], [node["html"] for node in violation["nodes"]])
        for tab, results in found.items()
        for violation in results.response["violations"]
    ]
    assert violations == []


def test_the_language_and_the_theme_are_remembered(opened: Opener) -> None:
    page = opened(color_scheme="light")
    expect(page.locator("#answer")).to_be_visible()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    dark = page.evaluate(ground)
    assert dark != light
    page.click("#language")
    expect(page.locator("#answer strong")).to_have_text("负面")
    page.reload()
    expect(page.locator("#answer strong")).to_have_text("负面")
    expect(page.locator("h1")).to_have_text("中文情感分析")
    assert page.evaluate(ground) == dark


def test_the_page_works_where_nothing_can_be_remembered(opened: Opener) -> None:
    forbidden = """Object.defineProperty(globalThis, "localStorage", {
        get() { throw new DOMException("no", "SecurityError"); }
    })"""
    page = opened(before=lambda page: page.add_init_script(forbidden))
    page.click("#language")
    expect(page.locator("#answer strong")).to_have_text("负面")


def test_the_page_is_used_by_keyboard_alone(opened: Opener) -> None:
    page = opened()
    expect(page.locator("#gates")).to_be_visible()
    page.focus("#tab-single")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-compare")).to_be_focused()
    expect(page.locator("#compare")).to_be_visible()
    expect(page.locator("#single")).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    expect(page.locator("#single-text")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("太棒了")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer strong")).to_have_text("Positive")


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_nothing_is_wider_than_a_phone(opened: Opener, language: str) -> None:
    page = opened(locale=language, viewport=PHONE)
    expect(page.locator("#gates")).to_be_visible()
    for tab in TABS:
        page.click(f"#tab-{tab}")
        if tab == "bulk":
            page.fill("#bulk-lines", "很好吃\n" + "不好吃" * 100)
            page.click("#bulk-start")
            expect(page.locator("#bulk-download")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], tab


def test_the_first_view_is_small_and_from_here_alone(opened: Opener, address: str) -> None:
    loaded: list[tuple[str, int]] = []

    def note(page: Page) -> None:
        page.on("response", lambda response: loaded.append((response.url, len(response.body()))))

    page = opened(before=note)
    expect(page.locator("#gates")).to_be_visible()
    expect(page.locator("#model")).not_to_be_empty()
    assert {url.removeprefix(address)[0] for url, _ in loaded} == {"/"}
    assert not [url for url, _ in loaded if "/vendor/" in url]
    size = sum(size for _, size in loaded)
    assert 0 < size < MOST_BYTES


def test_the_page_stands_behind_a_path_prefix(opened: Opener, address: str) -> None:
    def strip(route: Route) -> None:
        path = route.request.url.removeprefix("http://proxy.test/api")
        assert path.startswith("/"), route.request.url
        route.fulfill(response=route.fetch(url=address + path))

    def proxy(page: Page) -> None:
        page.route("http://proxy.test/**", strip)

    page = opened("http://proxy.test/api/", before=proxy)
    expect(page.locator("#gates")).to_be_visible()
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃")
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()


def test_the_docs_page_works_under_its_policy(opened: Opener) -> None:
    page = opened("/docs")
    expect(page.locator("#operations-prediction-predictBatch")).to_be_visible()
    page.click("#operations-prediction-predict button")
    page.click("text=Try it out")
    page.click("button.execute")
    expect(page.locator(".live-responses-table")).to_contain_text('"label"')


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_docs_page_follows_the_theme(opened: Opener, theme: str) -> None:
    page = opened("/docs", color_scheme=theme)
    summary = page.locator("#operations-prediction-predict .opblock-summary-description")
    color = summary.evaluate("element => getComputedStyle(element).color")
    text = sum(map(int, re.findall(r"\d+", color)[:3]))
    assert (text > 3 * 200) if theme == "dark" else (text < 3 * 100)
    canvas = page.locator("html").evaluate("element => getComputedStyle(element).backgroundColor")
    assert canvas == ("rgb(28, 32, 34)" if theme == "dark" else "rgba(0, 0, 0, 0)")


def test_the_docs_page_explains_each_error_once_and_shows_no_lock(opened: Opener) -> None:
    page = opened("/docs")
    page.click("#operations-prediction-predict button")
    operation = page.locator("#operations-prediction-predict")
    expect(operation.locator("tr.response")).to_have_count(14)
    box = operation.bounding_box()
    assert box
    assert box["height"] < 1700
    expect(page.get_by_text("The queue is full,")).to_have_count(1)
    expect(page.locator(".authorize, .authorization__btn")).to_have_count(0)


@pytest.mark.parametrize("path", ["/", "/docs", "/web/page/main.js"])
def test_the_pages_let_nothing_but_their_own_files_run(path: str) -> None:
    client = TestClient(create_app(load_settings()))
    answer = client.get(path)
    assert answer.status_code == 200
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)
    # Swagger UI turns strings into HTML.
    strict = {"require-trusted-types-for": "'script'", "trusted-types": "libraries"}
    assert {name: policy.get(name) for name in strict} == (
        dict.fromkeys(strict) if path == "/docs" else strict
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


WIDE: ViewportSize = {"width": 1600, "height": 900}


def test_a_wide_screen_has_the_verdict_beside_the_text(opened: Opener) -> None:
    page = opened(viewport=WIDE)
    expect(page.locator("#gates")).to_be_visible()
    form, answer = (
        page.locator("#single-form").bounding_box(),
        page.locator("#answer").bounding_box(),
    )
    assert form
    assert answer
    assert answer["x"] > form["x"] + form["width"]
    assert answer["y"] == form["y"]
    assert answer["x"] + answer["width"] > 0.9 * WIDE["width"]


def test_without_javascript_the_page_says_so_and_shows_nothing_empty(opened: Opener) -> None:
    page = opened(java_script_enabled=False)
    expect(page.locator("noscript p").first).to_be_visible()
    expect(page.locator("h1")).to_have_text("Chinese sentiment analysis")
    for place in (".tabs", ".controls", "#single", "footer"):
        expect(page.locator(place)).to_be_hidden()
    assert page.locator("meta[name=description]").get_attribute("content")
    assert page.locator("meta[property='og:title']").get_attribute("content")


def test_the_first_label_is_there_within_a_second(opened: Opener) -> None:
    note = """new MutationObserver((_, observer) => {
        if (!document.querySelector("#answer strong")) return;
        globalThis.firstLabel = performance.now();
        observer.disconnect();
    }).observe(document, { childList: true, subtree: true })"""
    took = []
    for _ in range(3):  # the machine may be busy with something else
        page = opened(before=lambda page: page.add_init_script(note))
        expect(page.locator("#answer strong")).to_be_visible()
        took.append(page.evaluate("firstLabel"))
    assert min(took) < 1000
