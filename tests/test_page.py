"""The page and /docs in a real browser, from a real service with the shipped model."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)

from service.api_keys import new_key
from service.app import create_app
from service.settings import load_settings
from tests.support.artifacts import SHIPPED
from tests.support.http import wait_ready
from tests.support.process import PATIENT, served

pytestmark = pytest.mark.process

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
PHONE: ViewportSize = {"width": 360, "height": 740}
TABS = ["single", "compare", "bulk"]
MOST_BYTES = 300_000
PATIENCE = 60_000  # milliseconds: the machine may be busy with more than this

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on this machine")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
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


def downloaded(page: Page) -> list[list[str]]:
    with page.expect_download() as download:
        page.click("#bulk-download")
    content = Path(download.value.path()).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")  # or Excel would not read it as UTF-8
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


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


# What the page shows of one text


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
    expect(tokens).to_have_count(len(explanation["tokens"]))
    for shown, token in zip(tokens.all(), explanation["tokens"], strict=True):
        classes = (shown.get_attribute("class") or "").split()
        assert ("dropped" in classes, "unknown" in classes) == (token["dropped"], token["unknown"])
    read = [token for token in explanation["tokens"] if token["gates"]]
    assert 0 < len(read) < len(explanation["tokens"])
    expect(page.locator(".heat td")).to_have_count(8 * len(read))
    expect(page.locator("#model")).to_contain_text(answer["model"]["name"])


def test_the_gates_explain_themselves_to_the_pointer_and_to_the_keyboard(opened: Opener) -> None:
    page = opened()
    submit(page, "不好吃")
    cells = page.locator(".heat tr.forget td")
    expect(cells).to_have_count(4)  # two tokens, two directions
    words = cells.first.get_attribute("aria-label") or ""
    assert words.startswith("Forwards, the forget gate of “不” is 0.")
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


def test_an_uncertain_answer_says_so(opened: Opener) -> None:
    page = opened()
    submit(page, "hello 123")
    expect(page.locator("#answer .uncertain")).to_be_visible()


def test_a_text_too_long_to_explain_still_gets_label_and_sentences(opened: Opener) -> None:
    page = opened()
    submit(page, "房间干净，前台也很热情。就是早餐太差。" * 100)
    expect(page.locator("#single-result")).to_contain_text("too long to be explained")
    expect(page.locator("#answer strong")).to_be_visible()
    expect(page.locator(".sentence")).to_have_count(200)
    expect(page.locator(".heat")).to_have_count(0)
    submit(page, "好。" * 3000)
    expect(page.locator("#single-result")).to_contain_text("too many sentences")
    expect(page.locator("#answer strong")).to_be_visible()


def test_a_text_of_which_nothing_is_read_says_so(opened: Opener) -> None:
    nothing = json.dumps({"tokens": [], "reference": {"difference": 0}})
    page = opened()
    page.route("**/v1/explain", lambda route: route.fulfill(body=nothing))
    submit(page, "👍")
    expect(page.locator("#single-result")).to_contain_text("Nothing in this text was read")
    expect(page.locator(".heat")).to_have_count(0)
    page.click("#tab-compare")
    expect(page.locator("#compare-result")).to_contain_text("Nothing in this text was read")
    expect(page.locator("#compare-result .legend")).to_have_count(0)


def test_what_comes_later_leaves_the_focus_where_it_is(opened: Opener) -> None:
    held: list[Route] = []
    page = opened(before=lambda page: hold(page, "**/v1/explain", held))
    sentence = page.locator(".sentence").first
    sentence.focus()
    release(page, held)
    expect(page.locator(".heat")).to_be_visible()
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
    expect(page.locator(".heat")).to_be_visible()
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
    assert page.title() == "Chinese sentiment"


# Errors


@pytest.mark.parametrize(
    ("text", "language", "sentence"),
    [
        (" \n", "en-GB", "There is nothing to read here. Please write a text."),
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
    expect(page.locator(".heat")).to_be_visible()
    submit(page, "好" * 10_001)
    expect(page.get_by_role("alert")).to_have_text("This text is too long. Please shorten it.")
    release(page, held)
    expect(page.get_by_role("alert")).to_contain_text("at most 10,000 characters")


def test_half_a_character_is_not_taken_for_a_blank_text(opened: Opener) -> None:
    page = opened()
    write_half_a_character(page, "#single-text")
    page.click("#single-form [type=submit]")
    expect(page.get_by_role("alert")).to_contain_text("half of a character")
    page.click("#tab-bulk")
    write_half_a_character(page, "#bulk-lines")
    page.click("#bulk-start")
    expect(page.locator("#bulk-result .rows")).to_contain_text("half of a character")


def test_a_service_that_loads_or_is_busy_is_asked_again(opened: Opener) -> None:
    refused_with = [503]  # until the page has said so, however slow this machine is

    def refuse(route: Route) -> None:
        if refused_with:
            problem(route, refused_with[0], **{"retry-after": "1"})
        else:
            route.fallback()

    page = opened(before=lambda page: page.route("**/v1/predict", refuse))
    waiting = page.locator("#single-waiting[role=status]")
    expect(waiting).to_have_text("The model is still loading; the answer will come by itself …")
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
        (500, "The service failed. Its log says more"),
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


# A key


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(
    opened: Opener, guarded: tuple[str, str]
) -> None:
    address, key = guarded
    page = opened(f"{address}/")
    field = page.get_by_label("Key")
    expect(field).to_be_focused()
    expect(page.locator("#key-refused")).to_be_hidden()
    assert Axe().run(page).response["violations"] == []
    field.fill("密钥")  # no header can hold it
    field.press("Enter")
    expect(field).to_be_visible()
    field.fill("somebody-else's")
    field.press("Enter")
    expect(page.locator("#key-refused")).to_have_text("This key is not known, or has expired.")
    expect(field).to_have_value("")
    field.fill(f" {key} ")
    field.press("Enter")
    expect(page.locator("#answer strong")).to_have_text("Negative")
    expect(page.locator(".heat")).to_be_visible()
    expect(page.locator("#model")).to_contain_text("zh-general")
    expect(field).to_be_hidden()
    page.reload()
    expect(page.locator("#answer strong")).to_be_visible()
    expect(field).to_be_hidden()
    assert key not in page.evaluate("JSON.stringify(localStorage)")
    expect(opened(f"{address}/").get_by_label("Key")).to_be_visible()


def test_texts_that_wait_for_a_key_are_all_answered_once_it_is_there(
    opened: Opener, guarded: tuple[str, str]
) -> None:
    address, key = guarded
    page = opened(f"{address}/", locale="zh-CN")
    page.click("#tab-compare")
    expect(page.get_by_label("密钥")).to_be_visible()
    page.get_by_label("密钥").fill(key)
    page.click("#key-form [type=submit]")
    expect(page.locator("#compare-result .label strong")).to_have_text(["正面", "负面"])
    page.click("#tab-single")
    expect(page.locator("#answer strong")).to_have_text("负面")


def test_the_docs_page_takes_a_key(opened: Opener, guarded: tuple[str, str]) -> None:
    address, key = guarded
    page = opened(f"{address}/docs")
    page.click("button.authorize")
    page.fill(".auth-container input", key)
    page.click(".auth-btn-wrapper button.authorize")
    page.click(".auth-btn-wrapper button.btn-done")
    page.click("#operations-prediction-predict_v1_predict_post button")
    page.click("text=Try it out")
    page.click("button.execute")
    expect(page.locator(".live-responses-table")).to_contain_text('"label"')


# Two texts


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


# Many texts


def test_a_csv_goes_from_drop_to_download(opened: Opener, address: str) -> None:
    texts = [
        f"第{number}次来，{'房间很好，非常满意' if number % 3 else '早餐太差，特别失望'}。"
        for number in range(1000)
    ]
    rows = [[f"00{number}", text, ' a,"b" '] for number, text in enumerate(texts)]
    page = opened()
    page.click("#tab-bulk")
    drop(page, "reviews.csv", as_csv([["id", "评论", "note"], *rows]).encode())
    expect(page.locator("#bulk-count")).to_have_text("1,000 texts")
    expect(page.locator("#bulk-column option:checked")).to_have_text("评论")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("Done: 1,000 texts.")
    expect(page.locator("#bulk-chart")).to_have_attribute(
        "aria-label",
        "Bar chart of the labels: Positive 666 (66.6%), Neutral 0 (0%), Negative 334 (33.4%).",
    )
    expect(page.locator("#bulk-result .rows tbody tr")).to_have_count(200)
    expect(page.locator("#bulk-result")).to_contain_text("first 200 of 1,000 rows")
    header, *results = downloaded(page)
    ours = ["label", "confidence", "positive", "neutral", "negative", "error"]
    assert header == ["id", "评论", "note", *ours]
    assert [row[:3] for row in results] == rows
    assert {row[3] for row in results[1::3]} == {"positive"}
    assert {row[3] for row in results[::3]} == {"negative"}
    for row in results:
        assert sum(map(float, row[5:8])) == pytest.approx(1, abs=1e-5)
        assert row[4] == row[5 + ["positive", "neutral", "negative"].index(row[3])]
        assert row[8] == ""


def test_lines_that_are_pasted_get_their_answers_in_order(opened: Opener) -> None:
    page = opened(locale="zh-CN")
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃\n\n" + "长" * 10_001 + "\r\n不好吃\n")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("完成：共 3 条。")
    header, *rows = downloaded(page)
    assert header[:2] == ["text", "label"]
    assert [row[1] for row in rows] == ["positive", "", "negative"]
    assert "10,000" in rows[1][-1]
    expect(page.locator("#bulk-result .pair")).to_contain_text("无结果")


def test_every_input_column_comes_back_letter_for_letter(opened: Opener) -> None:
    rows = [
        ["=1+1\nx", "好吃\n“真的”", "x", ""],
        [" 007 ", "-不好吃", "", "z"],
        ["@a\r\nb", "", "y", ""],
    ]
    names = ["+编号", "内容", "label", "predicted_label"]
    page = opened()
    page.click("#tab-bulk")
    # What a spreadsheet writes in China.
    content = as_csv([names, *rows]).encode("gb18030")
    page.set_input_files("#bulk-file", {"name": "a.csv", "mimeType": "text/csv", "buffer": content})
    expect(page.locator("#bulk-chosen")).to_contain_text("GB18030")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("Done: 3 texts.")
    header, *results = downloaded(page)
    assert header[:6] == [*names, "predicted_predicted_label", "confidence"]
    assert [row[:4] for row in results] == rows
    assert [row[4] for row in results] == ["positive", "negative", ""]
    assert results[2][-1] == "There is nothing to read here. Please write a text."
    expect(page.locator("#bulk-result")).to_contain_text("4 rows have a cell that begins with")
    page.check("#bulk-escape")
    page.click("#language")
    expect(page.locator("#bulk-escape")).to_be_checked()
    escaped = downloaded(page)
    assert [row[0] for row in escaped] == ["'+编号", "'=1+1\nx", " 007 ", "'@a\r\nb"]
    assert escaped[2][1] == "'-不好吃"


def test_the_text_column_can_be_chosen_and_the_header_refused(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", "很好吃,太糟糕了太糟糕了\n很好吃,太糟糕了太糟糕了\n".encode())
    expect(page.locator("#bulk-count")).to_have_text("2 texts")
    expect(page.locator("#bulk-column option:checked")).to_have_text("column_2")
    page.select_option("#bulk-column", "0")
    page.check("#bulk-header")
    expect(page.locator("#bulk-count")).to_have_text("1 text")
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("Done: 1 text.")
    assert downloaded(page)[1][2] == "positive"


def test_a_busy_service_is_asked_again_and_no_text_is_lost(opened: Opener) -> None:
    refusals = [504, 413]
    busy = [True]  # until the page has said so, however slow this machine is

    def refuse(route: Route) -> None:
        if busy:
            problem(route, 429, **{"retry-after": "1"})
        elif refusals:
            problem(route, refusals.pop(0))
        else:
            route.fallback()

    page = opened()
    page.click("#tab-bulk")
    page.route("**/v1/predict/batch", refuse)
    texts = [f"第{number}次很好吃" for number in range(100)]
    page.fill("#bulk-lines", "\n".join(texts))
    page.click("#bulk-start")
    expect(page.locator("#bulk-waiting[role=status]")).to_contain_text("The service is busy")
    busy.clear()
    expect(page.locator("#bulk-done")).to_have_text("Done: 100 texts.")
    assert refusals == []
    rows = downloaded(page)[1:]
    assert [row[0] for row in rows] == texts
    assert {row[1] for row in rows} == {"positive"}


def test_a_run_can_be_cancelled_and_keeps_what_is_done(opened: Opener) -> None:
    let_through = [None]

    def let_one_through(route: Route) -> None:
        if let_through:
            let_through.pop()
            route.fallback()
        # else never answered, until the page gives up

    page = opened()
    page.click("#tab-bulk")
    page.route("**/v1/predict/batch", let_one_through)
    page.fill("#bulk-lines", "很好吃\n" * 300)
    page.click("#bulk-start")
    expect(page.locator("#bulk-done")).to_have_text("64 of 300 texts")
    expect(page.locator("#bulk-bar")).to_have_js_property("value", 64)
    page.click("#bulk-cancel")
    expect(page.locator("#bulk-done")).to_have_text("Cancelled: 64 of 300 texts done.")
    rows = downloaded(page)[1:]
    assert sum(row[1] == "positive" for row in rows) == 64
    assert sum(row[-1] == "not analysed" for row in rows) == 236


def test_a_file_that_is_no_text_gets_a_sentence(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    drop(page, "a.csv", b"\x81\xff\x00")
    expect(page.get_by_role("alert")).to_contain_text("This file cannot be read.")
    drop(page, "a.csv", b"")
    expect(page.get_by_role("alert")).to_contain_text("There is no text in this file.")


def test_a_file_that_failed_can_be_mended_and_chosen_again(opened: Opener) -> None:
    page = opened()
    page.click("#tab-bulk")
    for content, alerts in [(b"", 1), ("text\n好".encode(), 0)]:
        page.set_input_files(
            "#bulk-file", {"name": "a.csv", "mimeType": "text/csv", "buffer": content}
        )
        expect(page.get_by_role("alert")).to_have_count(alerts)
        # A browser tells no change from a file to itself.
        expect(page.locator("#bulk-file")).to_have_value("")
    expect(page.locator("#bulk-chosen")).to_contain_text("a.csv: 1 row ·")
    expect(page.locator("#bulk-column")).to_be_focused()


def test_a_dropped_file_never_opens_in_the_browser_and_words_land_as_ever(opened: Opener) -> None:
    page = opened()
    assert dropped_at(page, "h1", file=True)  # or it would open in the browser
    assert not dropped_at(page, "#single-text", file=False)
    page.click("#tab-bulk")
    expect(page.locator("#bulk-chosen")).to_be_empty()
    assert not dropped_at(page, "#bulk-lines", file=False)
    assert dropped_at(page, "h1", file=True)
    expect(page.locator("#bulk-column")).to_be_focused()


# The page itself


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation(opened: Opener, theme: str, language: str) -> None:
    page = opened(locale=language, color_scheme=theme, reduced_motion="reduce")
    expect(page.locator(".heat")).to_be_visible()
    found = {"single": Axe().run(page)}
    page.click("#tab-compare")
    expect(page.locator("#compare-result .tokens")).to_have_count(2)
    found["compare"] = Axe().run(page)
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃\n不好吃")
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()
    found["bulk"] = Axe().run(page)
    drop(page, "a.csv", "text\n好".encode())
    expect(page.locator("#bulk-column")).to_be_visible()
    found["file"] = Axe().run(page)
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
    expect(page.locator(".heat")).to_be_visible()
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
    expect(page.locator(".heat")).to_be_visible()
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
    expect(page.locator(".heat")).to_be_visible()
    expect(page.locator("#model")).not_to_be_empty()
    assert {url.removeprefix(address)[0] for url, _ in loaded} == {"/"}
    assert not [url for url, _ in loaded if "/vendor/" in url]
    assert 0 < sum(size for _, size in loaded) < MOST_BYTES


def test_the_page_stands_behind_a_path_prefix(opened: Opener, address: str) -> None:
    def strip(route: Route) -> None:
        path = route.request.url.removeprefix("http://proxy.test/api")
        assert path.startswith("/"), route.request.url
        route.fulfill(response=route.fetch(url=address + path))

    def proxy(page: Page) -> None:
        page.route("http://proxy.test/**", strip)

    page = opened("http://proxy.test/api/", before=proxy)
    expect(page.locator(".heat")).to_be_visible()
    page.click("#tab-bulk")
    page.fill("#bulk-lines", "很好吃")
    page.click("#bulk-start")
    expect(page.locator("#bulk-download")).to_be_visible()


def test_the_docs_page_works_under_its_policy(opened: Opener) -> None:
    page = opened("/docs")
    expect(
        page.locator("#operations-prediction-predict_batch_v1_predict_batch_post")
    ).to_be_visible()
    page.click("#operations-prediction-predict_v1_predict_post button")
    page.click("text=Try it out")
    page.click("button.execute")
    expect(page.locator(".live-responses-table")).to_contain_text('"label"')


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
