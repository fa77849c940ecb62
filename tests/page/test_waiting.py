"""What the page shows while it waits: never an answer under another text."""

import signal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.page import Opener, hold, release, submit
from tests.support.process import PATIENT, served

pytestmark = pytest.mark.process

# Seconds until the first sign that the page works, by the page's own clock.
NOTE_BUSY = """() => {
    const begun = performance.now();
    document.querySelector("#single-start").click();
    return new Promise((resolve) => {
        const look = () => {
            const result = document.querySelector("#single-result");
            const busy = result.getAttribute("aria-busy") === "true";
            if (busy && !document.querySelector("#answer")) resolve(performance.now() - begun);
            else requestAnimationFrame(look);
        };
        look();
    });
}"""


def test_no_verdict_stands_under_a_text_that_is_waited_for(
    opened: Opener, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The service is stopped, as one that hangs."""
    with served(SHIPPED, tmp_path_factory.mktemp("stopped") / "log", **PATIENT) as (
        process,
        address,
    ):
        wait_ready(address)
        page = opened(address)
        expect(page.locator("#answer strong")).to_have_text("Negative")
        process.send_signal(signal.SIGSTOP)
        try:
            page.fill("#single-text", "房间很好，早餐太差")
            assert page.evaluate(NOTE_BUSY) < 300
            expect(page.locator("#single-start")).to_have_text("Analysing…")
            expect(page.locator(".skeleton")).to_have_count(3)
        finally:
            process.send_signal(signal.SIGCONT)
        expect(page.locator("#answer strong")).to_be_visible()
        expect(page.locator("#gates")).to_be_visible()
        expect(page.locator("#single-start")).to_have_text("Analyse")
        expect(page.locator("#single-result")).to_have_attribute("aria-busy", "false")
        expect(page.locator(".skeleton")).to_have_count(0)


def test_an_answer_is_struck_as_soon_as_the_text_differs(opened: Opener) -> None:
    page = opened()
    expect(page.locator("#gates")).to_be_visible()
    text = page.input_value("#single-text")
    strong = page.locator("#answer strong")
    page.fill("#single-text", "好")
    expect(page.locator("#answer .waiting")).to_contain_text("The text has changed.")
    expect(strong).to_have_css("text-decoration-line", "line-through")
    page.fill("#single-text", text)
    expect(page.locator("#answer .waiting")).to_have_count(0)
    expect(strong).to_have_css("text-decoration-line", "none")
    page.click("#tab-compare")
    expect(page.locator("#compare-result .tokens")).to_have_count(2)
    page.fill("#compare-a", "坏")
    expect(page.locator("#compare-result")).to_contain_text("The texts have changed.")


def held_page(opened: Opener, path: str, held: list[Route]) -> Page:
    """A page with a clock of its own, whose requests are held."""

    def prepare(page: Page) -> None:
        page.clock.install()
        hold(page, path, held)

    return opened(before=prepare)


@pytest.mark.parametrize("tab", ["single", "compare"])
def test_a_long_wait_can_be_cancelled(opened: Opener, tab: str) -> None:
    held: list[Route] = []
    page = held_page(opened, "**/v1/predict", held)
    page.click(f"#tab-{tab}")
    page.clock.fast_forward(9_000)
    expect(page.locator(f"#{tab}-start")).to_have_text("Analysing…")
    still = page.locator(f"#{tab}-still")
    expect(still).to_have_text("")
    page.clock.fast_forward(2_000)
    expect(still).to_contain_text("Still waiting for the service.")
    still.get_by_role("button", name="Cancel").click()
    expect(still).to_have_text("")
    expect(page.locator(f"#{tab}")).to_contain_text("Cancelled.")
    expect(page.locator(f"#{tab} .skeleton")).to_have_count(0)
    held.clear()
    page.click(f"#{tab}-start")
    release(page, held)
    if tab == "compare":
        release(page, held)
    expect(page.locator(f"#{tab} .label strong").last).to_be_visible()
    expect(page.locator(f"#{tab}")).not_to_contain_text("Cancelled.")


def test_a_service_that_never_answers_is_given_up(opened: Opener) -> None:
    held: list[Route] = []
    page = held_page(opened, "**/v1/predict", held)
    page.clock.fast_forward(61_000)
    expect(page.get_by_role("alert")).to_contain_text("The answer took too long.")


def test_what_runs_is_replaced_by_what_is_asked_next(opened: Opener) -> None:
    held: list[Route] = []
    page = opened(before=lambda page: hold(page, "**/v1/predict", held))
    submit(page, "太棒了")
    expect(page.locator("#single-start")).to_have_text("Analysing…")
    while len(held) < 2:
        page.wait_for_timeout(10)
    # The answer to the first text comes last.
    held.pop().fallback()
    expect(page.locator("#answer strong")).to_have_text("Positive")
    held.pop().abort()
    expect(page.locator("#gates")).to_be_visible()
    expect(page.locator("#answer strong")).to_have_text("Positive")
