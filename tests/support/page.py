"""What is done on the page, and to its requests."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import (
    Page,
    Route,
)

PATIENCE = 60_000  # milliseconds: the machine may be busy with more than this
Opener = Callable[..., Page]


def submit(page: Page, text: str) -> None:
    page.fill("#single-text", text)
    page.click("#single-form [type=submit]")


def drop(page: Page, name: str, content: bytes) -> None:
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        [name, list(content)],
    )
    page.dispatch_event("#bulk-drop", "drop", {"dataTransfer": transfer})


def saved(page: Page, button: str, name: str | None = None) -> list[list[str]]:
    """Returns the rows of the CSV file that a button saves under a name."""
    with page.expect_download() as download:
        page.click(button)
    assert name is None or download.value.suggested_filename == name
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # or Excel would not read it as UTF-8
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def downloaded(page: Page, name: str | None = None) -> list[list[str]]:
    return saved(page, "#bulk-download", name)


def as_csv(rows: list[list[str]]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue()


def dropped_at(page: Page, place: str, *, file: bool) -> bool:
    """Drops a file or words there; whether the page has taken the drop from the browser."""
    taken = page.evaluate(
        """([place, file]) => {
            const dataTransfer = new DataTransfer();
            if (file) dataTransfer.items.add(new File(["text\\n好"], "a.csv"));
            else dataTransfer.setData("text/plain", "好");
            return ["dragover", "drop"].map((name) => {
                const how = { dataTransfer, bubbles: true, cancelable: true };
                return !document.querySelector(place).dispatchEvent(new DragEvent(name, how));
            });
        }""",
        [place, file],
    )
    assert taken[0] == taken[1]
    return bool(taken[0])


def write_half_a_character(page: Page, place: str) -> None:
    page.eval_on_selector(place, r"field => field.value = '好\ud83d'")


def hold(page: Page, pattern: str, held: list[Route]) -> None:
    page.route(pattern, lambda route: held.append(route))


def release(page: Page, held: list[Route]) -> None:
    for _ in range(PATIENCE // 10):
        if held:
            break
        page.wait_for_timeout(10)
    held.pop(0).fallback()


def problem(route: Route, status: int, **headers: str) -> None:
    body = json.dumps({"status": status, "detail": "raw words of the service"})
    route.fulfill(
        status=status, headers={"content-type": "application/problem+json", **headers}, body=body
    )
