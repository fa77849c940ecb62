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
    # The verdicts come first.
    titles = page.locator("#compare-result h2")
    expect(titles).to_have_text(["First text", "Second text", "What changes", "Why"])
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
    expect(page.locator("#gates")).to_be_visible()
    page.route("**/v1/predict", refuse)
    page.click("#tab-compare")
    waiting = page.locator("#compare-result [role=status]")
    expect(waiting).to_have_text(["The service is busy; asking again in 1 s …"] * 2)
    busy.clear()
    expect(page.locator("#compare-result .label strong")).to_have_text(["Positive", "Negative"])
    expect(waiting).to_have_text(["", ""])


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [
        ("好吃", "不好吃", ([], ["不"])),
        ("房间很好，早餐太差", "房间太差，早餐很好", (["很好", "太差"], ["太差", "很好"])),
        ("😊好", "😭好", (["😊"], ["😭"])),
        ("好", "好", ([], [])),
        ("好", "坏" * 9000, (["好"], ["坏" * 9000])),
        # Too long to look for what they share in the middle.
        ("头" + "甲乙" * 900 + "尾", "头" + "乙丙" * 900 + "尾", (["甲乙" * 900], ["乙丙" * 900])),
    ],
)
def test_what_differs_is_marked(
    opened: Opener, first: str, second: str, differs: tuple[list[str], list[str]]
) -> None:
    page = opened()
    page.click("#tab-compare")
    page.fill("#compare-a", first)
    page.fill("#compare-b", second)
    page.click("#compare-start")
    shown = page.locator(".compared")
    expect(shown).to_have_text([first, second])
    for text, marks in zip(shown.all(), differs, strict=True):
        expect(text.locator("mark")).to_have_text(marks)
