"""The guide for analysts, followed as a newcomer would: every command, in the order of the page."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

from tests.support.repository import read

GUIDES = ["docs/guide.md", "docs/guide.zh-CN.md"]
TEXTS = {
    "positive": ["房间很干净，服务也好", "物流很快，包装完好", "味道不错，下次还来"],
    "neutral": ["快递已签收，在门卫处", "请问几点退房？", "容量500毫升，白色"],
    "negative": ["太差了，还要自己出运费", "屏幕有划痕，客服不理人", "房间又小又吵，一晚没睡"],
}
ROWS = [
    (f"{text}（{day}日）", label) for day in range(1, 9) for label in TEXTS for text in TEXTS[label]
]
HEADER = ["编号", "评论内容"]


def commands(guide: str, *sections: int) -> list[str]:
    """Return the lines of some sections' code that call the program."""
    lines: list[str] = []
    for number in sections:
        (section,) = re.findall(
            rf"^## {number}\. .*?(?=^## )", read(guide), re.DOTALL | re.MULTILINE
        )
        code = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
        lines += [line for line in code.splitlines() if line.startswith(".venv/bin/sentiment ")]
    return lines


def follow(lines: list[str], folder: Path) -> str:
    """Run commands in a folder that looks like the project's, and return what they print."""
    (folder / ".venv").mkdir(exist_ok=True)
    program = folder / ".venv" / "bin"
    if not program.exists():
        program.symlink_to(Path(sys.executable).parent, target_is_directory=True)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    printed = ""
    for line in lines:
        run = subprocess.run(
            ["sh", "-c", line],
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=600,
            check=False,
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
        printed += run.stdout
    return printed


def write_workbook(path: Path, rows: list[list[str]]) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    book.save(path)


def sheet(path: Path) -> list[tuple[object, ...]]:
    book = openpyxl.load_workbook(path, read_only=True)
    assert book.active is not None
    return list(book.active.iter_rows(values_only=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the guide's reviews, as a workbook and as the CSV of a Chinese Excel."""
    rows = [[str(number), text] for number, (text, _) in enumerate(ROWS)]
    write_workbook(tmp_path / "reviews.xlsx", [HEADER, *rows])
    with (tmp_path / "reviews.csv").open("w", encoding="gb18030", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return tmp_path


@pytest.mark.process
@pytest.mark.parametrize("guide", GUIDES)
def test_tables_are_labelled_and_a_text_explained_by_the_guide(guide: str, folder: Path) -> None:
    lines = commands(guide, 2, 4)
    assert len(lines) == 3
    assert "太差" in follow(lines, folder)
    header, *rows = sheet(folder / "reviews.labelled.xlsx")
    added = ("label", "confidence", "uncertain", "positive", "neutral", "negative")
    assert header == (*HEADER, *added)
    assert [row[1] for row in rows] == [text for text, _ in ROWS]
    assert {type(row[4]) for row in rows} == {bool}
    labelled = (folder / "reviews.labelled.csv").read_text("gb18030").splitlines()
    assert labelled[0] == ",".join([*HEADER, *added])
    assert len(labelled) == len(ROWS) + 1


@pytest.mark.slow
@pytest.mark.process
def test_a_model_is_taught_measured_and_used_by_the_guide(folder: Path) -> None:
    """By one of them: tests/test_docs.py holds their commands equal."""
    columns = [*HEADER, "label", "correct_label"]
    corrected = [
        [str(number), text, "neutral", label if number < 10 else ""]
        for number, (text, label) in enumerate(ROWS)
    ]
    write_workbook(folder / "corrected.xlsx", [columns, *corrected])
    tested = [[str(number), text, "", label] for number, (text, label) in enumerate(ROWS)]
    write_workbook(folder / "test.xlsx", [columns, *tested])
    marked = [f"{text},{label},right,{row}" for row, (text, label) in enumerate(ROWS[:10], 2)]
    (folder / "reviews.corrected.csv").write_text(  # as the page saves it
        "\r\n".join(["\ufefftext,label,marked,row", *marked, ""]), encoding="utf-8"
    )
    lines = commands(GUIDES[0], 5, 6, 7)
    assert len(lines) == 5
    printed = follow(lines, folder)
    assert (folder / "runs" / "adapted" / "artifact" / "manifest.json").exists()
    assert printed.count("macro-F1") >= 2
    assert sheet(folder / "reviews.new.xlsx")[0][2] == "label"
