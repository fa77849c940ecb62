"""Two texts side by side."""

import pytest
from playwright.sync_api import (
    Route,
    expect,
)

from tests.support.page import Opener, problem

pytestmark = pytest.mark.process


def test_two_texts_stand_side_by_side(opened: Opener) -> None:
    page = opened()
    page.click("#tab-compare")
    expect(page.locator("#compare-result .label strong")).to_have_text(["Positive", "Negative"])
    expect(page.locator("#compare-result .lead")).to_have_text("From positive to negative.")
    expect(page.locator("#compare-result .tokens")).to_have_count(2)
    page.fill("#compare-b", "很好吃")
    page.click("#compare-form [type=submit]")
    expect(page.locator("#compare-result .lead")).to_have_text("Both texts are positive.")


def test_two_texts_that_must_wait_say_so(opened: Opener) -> None:
    busy = [True]

    def refuse(route: Route) -> None:
        if busy:
            problem(route, 429, **{"retry-after": "1"})
        else:
            route.fallback()

    page = opened()
    expect(page.locator(".heat")).to_be_visible()
    page.route("**/v1/predict", refuse)
    page.click("#tab-compare")
    waiting = page.locator("#compare-result [role=status]")
    expect(waiting).to_have_text(["The service is busy; asking again in 1 s …"] * 2)
    busy.clear()
    expect(page.locator("#compare-result .label strong")).to_have_text(["Positive", "Negative"])
    expect(waiting).to_have_text(["", ""])
