"""How many bytes the first view of the page takes, and how soon its first label is there.

    .venv/bin/sentiment serve &
    .venv/bin/python -m bench.page [ADDRESS] [--figures]

Each view starts with an empty cache in a browser that runs already. `--figures` takes the pictures
of docs/figures besides.
"""

import io
import shutil
import statistics
import sys
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bench.document import FIGURES, machine

ADDRESS = "http://127.0.0.1:8000"
VIEWS = 15
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-gpu", "--disable-background-networking"]
# Milliseconds from navigation until the label is on the page.
NOTE_FIRST_LABEL = """new MutationObserver((_, observer) => {
    if (!document.querySelector("#answer strong")) return;
    globalThis.firstLabel = performance.now();
    observer.disconnect();
}).observe(document, { childList: true, subtree: true })"""
PICTURES: dict[str, dict[str, Any]] = {
    "page-light": {"viewport": {"width": 1000, "height": 800}, "locale": "en-GB"},
    "page-dark": {
        "viewport": {"width": 1000, "height": 800},
        "locale": "zh-CN",
        "color_scheme": "dark",
    },
    "page-phone": {"viewport": {"width": 390, "height": 800}, "locale": "zh-CN"},
}


def open_page(browser: Browser, address: str, loaded: dict[str, int], **how: Any) -> Page:
    """The page in a fresh context, explanation and all; ``loaded`` gets the bytes of each file."""
    page = browser.new_context(reduced_motion="reduce", **how).new_page()
    page.on("response", lambda response: loaded.update({response.url: len(response.body())}))
    page.add_init_script(NOTE_FIRST_LABEL)
    page.goto(address)
    page.wait_for_selector("#gates")
    return page


def measure(browser: Browser, address: str) -> None:
    """Prints both figures."""
    loaded: dict[str, int] = {}
    times = []
    for _ in range(VIEWS):
        page = open_page(browser, address, loaded)
        times.append(page.evaluate("firstLabel"))
        page.context.close()
    for url, size in loaded.items():
        print(f"{size:>9,} {url.removeprefix(address)}")
    print(f"first view: {sum(loaded.values()):,} bytes uncompressed")
    print(
        f"first label: {statistics.median(times):.0f} ms after opening, at most "
        f"{max(times):.0f} ms ({VIEWS} views; {machine()})"
    )


def take_pictures(browser: Browser, address: str) -> None:
    """Writes what the README and docs/ show."""
    for name, how in PICTURES.items():
        page = open_page(browser, address, {}, **how)
        page.wait_for_function("document.getElementById('model').textContent !== ''")
        picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        # A palette is enough for a page, and a third of the bytes.
        picture.quantize(256).save(FIGURES / f"{name}.png", optimize=True)
        page.context.close()


def main() -> None:
    """See the module's docstring."""
    addresses = [argument for argument in sys.argv[1:] if argument != "--figures"]
    address = addresses[0] if addresses else ADDRESS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        measure(browser, address)
        if "--figures" in sys.argv:
            take_pictures(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
