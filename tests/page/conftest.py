"""A browser, and the page of a real service with the shipped model."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from service.api_keys import new_key
from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.page import PATIENCE, Opener
from tests.support.process import PATIENT, served

ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The browser's own line about a status that is no success; the page says it in its own words.
STATUS_LINE = "Failed to load resource"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on this machine")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(SHIPPED, tmp_path_factory.mktemp("page") / "log", **PATIENT) as (_, address):
        wait_ready(address)
        yield address


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Opener]:
    """Opens the page; at the end no browser may have complained about a policy or a script."""
    complaints: list[str] = []
    contexts = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(STATUS_LINE):
            complaints.append(message.text)

    def open_page(
        path: str = "/", *, before: Callable[[Page], None] | None = None, **how: Any
    ) -> Page:
        context = browser.new_context(**{"locale": "en-GB", **how})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if before:
            before(page)
        page.goto(path if path.startswith("http") else address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="package")
def guarded(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The address of a service that asks for a key, and the key."""
    directory = tmp_path_factory.mktemp("guarded")
    key, line = new_key("page", None)
    (directory / "keys").write_text(line)
    keys = {**PATIENT, "SENTIMENT_API_KEYS_FILE": str(directory / "keys")}
    with served(SHIPPED, directory / "log", **keys) as (_, address):
        wait_ready(address)
        yield address, key
