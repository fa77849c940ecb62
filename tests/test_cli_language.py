"""The command line in Chinese, where the locale asks for it."""

import gettext
import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from click.testing import CliRunner, Result

from model import LABELS
from model.bulk.labelled import LEFT_OUT, NO_LABEL
from model.bulk.source import NOT_TABLES
from model.bulk.table import DELIMITER_NAMES, JSON_ARRAY, TEXT_LINES, WORKBOOK
from model.errors import BLANK
from model.files import NOT_CLOSED, NOT_UTF8
from model.training.templates import SHIPPED_SOURCE
from service.commands import main
from service.commands.help import DOMAIN, LOCALES
from tests.support.repository import ROOT

CHINESE = {"LANGUAGE": "zh_CN:en"}
COMPILED = LOCALES / "zh" / "LC_MESSAGES" / f"{DOMAIN}.mo"
WORDS = re.compile(r"[A-Za-z]*[a-z]{2,} [a-z]{2,}")
HAN = re.compile("[\u4e00-\u9fff]")
FIELD = re.compile(r"\{(\w+)")


# Looked up by their names.
LOOKED_UP = (
    *LABELS,
    *("Use", "Train", "Operate"),
    *(TEXT_LINES, JSON_ARRAY, WORKBOOK),
    *DELIMITER_NAMES.values(),
    *(BLANK, NOT_UTF8, NOT_CLOSED, NO_LABEL, LEFT_OUT),
    SHIPPED_SOURCE,
    *("loss", "dev"),  # figures beside progress
    *(what for _, what in NOT_TABLES),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    with COMPILED.with_suffix(".po").open("rb") as file:
        return read_po(file)


@pytest.fixture(autouse=True)
def no_language_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let click forget its words: it keeps them, and a process has one language."""
    for command in (main, *main.commands.values()):
        monkeypatch.setattr(command, "_help_option", None)


def run(*arguments: object, content: bytes = b"") -> Result:
    return CliRunner().invoke(
        main, list(map(str, arguments)), prog_name="sentiment", env=CHINESE, input=content
    )


def helped() -> Iterator[str]:
    """Yield what the help of the commands is made of."""
    commands: list[click.Command] = [main, *main.commands.values()]
    for command in commands:
        yield inspect.cleandoc(command.help or "")
        for param in command.params:
            if isinstance(param, click.Option) and param.name != "version":
                yield param.help or ""


def marked() -> Iterator[str]:
    """Yield what the source marks for translation."""
    for folder in ("model", "service"):
        for _, _, message, *_ in extract_from_dir(ROOT / folder, method_map=[("**.py", "python")]):
            assert isinstance(message, str)
            yield message


def test_what_is_compiled_is_what_is_written(catalogue: Catalog) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    assert compiled.getvalue() == COMPILED.read_bytes(), "run: make messages"


def test_everything_is_translated_with_all_its_values(catalogue: Catalog) -> None:
    wanted = dict.fromkeys([*helped(), *marked(), *LOOKED_UP])
    missing = [message for message in wanted if catalogue.get(message) is None]
    assert not missing, f"not in {COMPILED.with_suffix('.po')}"
    for message in wanted:
        found = catalogue.get(message)
        assert found
        assert found.string not in ("", message)
        assert not found.fuzzy
        assert set(FIELD.findall(str(found.string))) == set(FIELD.findall(message)), message


def test_nothing_is_translated_that_nobody_says(catalogue: Catalog) -> None:
    clicks = extract_from_dir(Path(click.__file__).parent, method_map=[("**.py", "python")])
    said = {*helped(), *marked(), *LOOKED_UP, *(message for _, _, message, *_ in clicks)}
    assert [message.id for message in catalogue if message.id and message.id not in said] == []


@pytest.mark.parametrize("name", ["", *main.commands])
def test_no_line_of_the_help_is_in_english(name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    for line in result.output.splitlines():
        example = "sentiment " in line
        assert example or HAN.search(line) or not WORDS.search(line), line
        if not example:
            assert not WORDS.search(re.sub(r"\S*[A-Z<>/`]\S*", "", line)), line
    assert "用法：" in result.output
    assert "选项：" in result.output


def test_wide_characters_keep_to_the_width_of_the_terminal() -> None:
    for name in main.commands:
        for line in run(name, "--help").output.splitlines():
            assert len(line) + len(re.findall("[\u3000-\u9fff\uff00-\uffef]", line)) <= 80, line
            assert not re.match(r"\s*[，。；、）]", line), line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "评论.csv"], "错误：评论.csv 不存在；请检查文件名"),
        (["predict", "--no-such"], "错误：没有选项 '--no-such'。"),
        (["predict", "--engine", "x"], "的值无效：'x' 不是"),
        (["predict", "好", "--force"], "只用于表格"),
        (["explain"], "缺少参数 'TEXT'"),
        (["nothing"], "错误：没有命令 'nothing'。"),
        (["key", "a", "--expires", "soon"], "的值无效：'soon' 的格式不符"),
    ],
)
def test_misuse_is_told_in_chinese(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "用法见 'sentiment" in result.stderr


def test_words_for_people_are_chinese_and_those_for_programs_are_not(tiny_artifact: Path) -> None:
    shown = run("explain", "房间很好", "--model", tiny_artifact).stdout
    assert shown.startswith("正面")
    assert not WORDS.search(shown)
    reply = run("explain", "房间很好", "--json", "--model", tiny_artifact)
    assert json.loads(reply.stdout)["label"] == "positive"
    table = run("predict", "--model", tiny_artifact, content="text\n房间很好\n".encode())
    assert json.loads(table.stdout)["label"] == "positive"


def test_tables_are_told_of_in_chinese(tiny_artifact: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("id;评论\n1;房间很好\n2;\n", encoding="gbk")
    result = run("predict", table, "--model", tiny_artifact)
    assert result.exit_code == 3
    assert not WORDS.search(result.output.replace(str(tmp_path), ""))
    assert re.search(rf"^成功 +1  写入 {tmp_path}/a.labelled.csv$", result.stdout, re.MULTILINE)
    missing = run("predict", table, "--column", "无", "--model", tiny_artifact, "--force")
    assert "没有名为 无 的列；请用 --column 指定其中之一：id, 评论" in missing.stderr
    there = run("predict", table, "--model", tiny_artifact)
    assert "已经存在；加 --force 可覆盖" in there.stderr
    table.write_text("评论\n \n", encoding="utf-8")
    refused = run("predict", table, "-o", tmp_path / "b.csv", "--model", tiny_artifact)
    assert refused.exit_code == 1


def test_an_evaluation_is_told_in_chinese(tiny_artifact: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("评论,标签\n房间很好,好评\n房间很差,好评\n,好评\n", encoding="utf-8")
    result = run("evaluate", table, "--model", tiny_artifact)
    assert result.exit_code == 0
    told = result.output.replace(str(tmp_path), "")
    assert not WORDS.search(told)
    for word in (
        "2 条文本：准确率 50.0%",
        "混淆矩阵",
        "各界限下的保留比例",
        "最有把握的错误",
        "判为负面",
    ):
        assert word in told
    refused = run("evaluate", table, "--model", tmp_path)
    assert f"{tmp_path} 不是模型目录，其中没有 manifest.json；请给出" in refused.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "chinese"),
    [
        ({"LC_ALL": "zh_CN.UTF-8"}, True),
        ({"LC_MESSAGES": "zh_TW.Big5"}, True),
        ({"LANG": "zh_CN.GBK"}, True),
        ({"LANG": "zh_CN", "LC_ALL": "en_US.UTF-8"}, False),
        ({"LANG": "zh_CN", "LANGUAGE": "en"}, False),
        ({"LC_ALL": "C"}, False),
        ({}, False),
    ],
)
def test_the_locale_decides(variables: dict[str, str], chinese: bool) -> None:
    command = [sys.executable, "-m", "service", "--help"]
    shown = subprocess.run(command, env=variables, capture_output=True, check=True, cwd=ROOT)
    assert ("使用：" in shown.stdout.decode()) is chinese


def test_a_service_answers_in_english_whatever_the_locale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.process.server.serve", lambda _: None)
    assert run("serve").exit_code == 0
    assert gettext.textdomain() == "messages"
