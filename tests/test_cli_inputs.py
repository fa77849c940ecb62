"""What `sentiment predict` takes its arguments for, by running the command itself."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.commands.inputs import looks_like_file
from tests.support.tables import run
from tests.support.terminal import in_terminal

COMMAND = [sys.executable, "-m", "service", "predict"]


def ended(
    *arguments: str | bytes, variables: Mapping[str, str] = {}, content: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=content,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    "argument",
    [
        "评论.xlsx",
        "很好吃.csv",
        "a.typo",
        "data/new",
        "~/评论",
        "./好",
        "C:\\评论.txt",
        "http://a.b/c",
    ],
)
def test_what_is_written_like_a_file_is_never_a_text(argument: str, tmp_path: Path) -> None:
    assert looks_like_file(argument)
    result = run(argument)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{argument} does not exist; check the name" in result.stderr
    assert "--text" in result.stderr


@pytest.mark.parametrize(
    "argument",
    [
        "服务/环境都好",
        "OK",
        "4.5分",
        "v1.0",
        "...lol",
        "¯\\_(ツ)_/¯",
        "Great. Love it",
        "官网www.taobao.com",
    ],
)
def test_what_only_resembles_a_file_is_a_text(argument: str) -> None:
    assert not looks_like_file(argument)


def test_a_file_is_never_a_text_whatever_its_name(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "房间很好").mkdir()
    result = run("房间很好")
    assert result.exit_code == 2
    assert "房间很好 is a directory" in result.stderr
    assert "房间很好 is a file or" not in result.stderr
    answer = run("--text", "房间很好", "a.csv", "--model", tiny_artifact)
    assert [json.loads(line)["input"] for line in answer.stdout.splitlines()] == [
        "房间很好",
        "a.csv",
    ]


def test_a_file_is_given_alone(corpus: Path) -> None:
    result = run(corpus, "房间很好")
    assert result.exit_code == 2
    assert "give one file and nothing else" in result.stderr
    assert "give it alone" in run("-", "房间很好").stderr


@pytest.mark.process
def test_a_pipe_by_name_is_read_as_a_pipe(tiny_artifact: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "lines.csv"
    os.mkfifo(fifo)
    with subprocess.Popen(
        [*COMMAND, str(fifo), "--model", str(tiny_artifact)], stdout=subprocess.PIPE
    ) as process:
        fifo.write_text("房间很好\n早餐很差\n", encoding="utf-8")
        assert process.stdout
        answers = [json.loads(line) for line in process.stdout]
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
    assert process.returncode == 0


@pytest.mark.process
def test_a_text_in_another_encoding_is_read_by_the_locale_or_refused(tiny_artifact: Path) -> None:
    broken = ended("--model", str(tiny_artifact), "房间很好".encode("gbk"))
    assert (broken.returncode, broken.stdout) == (2, b"")
    assert b"is not UTF-8; check the encoding of the terminal" in broken.stderr
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for variables in (dict[str, str](), plain):
        answer = ended("--model", str(tiny_artifact), "房间很好".encode(), variables=variables)
        assert json.loads(answer.stdout)["input"] == "房间很好"


@pytest.mark.process
@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1"])
def test_answers_are_utf_8_whatever_the_terminal_is_said_to_take(
    encoding: str, tiny_artifact: Path
) -> None:
    answer = ended(
        "--model", str(tiny_artifact), "房间很好😀", variables={"PYTHONIOENCODING": encoding}
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert json.loads(answer.stdout.decode())["input"] == "房间很好😀"


@pytest.mark.process
def test_a_reader_that_has_enough_ends_the_command_quietly(tiny_artifact: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "--model", str(tiny_artifact)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write("房间很好\n".encode())
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write("早餐很差\n".encode())
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.process
def test_a_terminal_is_told_that_lines_are_awaited_and_ctrl_d_ends(tiny_artifact: Path) -> None:
    with in_terminal("predict", "--model", tiny_artifact) as terminal:
        terminal.wait_for("one a line; Ctrl-D ends")
        terminal.type("房间很好\n")
        terminal.wait_for('"label": "positive"')
        terminal.type("\x04")
        assert terminal.end() == 0


@pytest.mark.process
def test_ctrl_c_ends_the_command_without_a_word(tiny_artifact: Path) -> None:
    with in_terminal("predict", "--model", tiny_artifact) as terminal:
        shown = terminal.wait_for("Ctrl-D ends")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert terminal.shown.strip() == shown.strip()
