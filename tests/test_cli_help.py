"""The help of the commands: in sections, uncut, with examples."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.commands import main
from service.settings import load_settings


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments, "--help"])
    assert result.exit_code == 0
    return result.output


def test_the_commands_stand_in_the_sections_of_who_needs_them() -> None:
    lines = shown().splitlines()
    headings = [lines.index(f"{title}:") for title in ("Use", "Train", "Operate")]
    assert headings == sorted(headings)
    listing = [line for line in lines[headings[0] :] if line.startswith("  ")]
    found = [line.split()[0] for line in listing if line[2] != " "]
    assert sorted(found) == sorted(main.commands)


def test_the_summaries_are_whole_sentences() -> None:
    listing = " ".join(shown().split())
    assert "…" not in listing
    assert "..." not in listing.removeprefix("Usage: main [OPTIONS] COMMAND [ARGS]...")
    for name, command in main.commands.items():
        assert command.help
        sentence = " ".join(command.help.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
        assert f"{name} {sentence}." in listing


def test_no_line_of_help_is_wider_than_a_terminal() -> None:
    for arguments in ((), *((name,) for name in main.commands)):
        for line in shown(*arguments).splitlines():
            assert len(line) <= 80


def test_every_command_shows_an_example() -> None:
    for name in main.commands:
        assert re.search(rf"^  .*\bsentiment {name}\b", shown(name), re.MULTILINE), name


def test_an_example_has_its_line_to_itself() -> None:
    assert "  sentiment predict reviews.xlsx --column 评论内容\n" in shown("predict")
    assert "\\b" not in shown() + shown("predict")


def test_the_defaults_of_serving_are_those_of_the_settings() -> None:
    told, settings = " ".join(shown("serve").split()), load_settings()
    for value in (settings.host, settings.port, settings.model.name):
        assert f"by default {value}" in told


@pytest.mark.process
def test_a_shell_completes_commands_options_and_files() -> None:
    def completed(line: str) -> list[str]:
        words = line.split(" ")
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        environment = {**os.environ, **asked, "_SENTIMENT_COMPLETE": "bash_complete"}
        command = [Path(sys.executable).with_name("sentiment")]
        return subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", check=True
        ).stdout.splitlines()

    assert completed("sentiment pre") == ["plain,predict"]
    assert completed("sentiment predict --col") == ["plain,--column"]
    assert completed("sentiment predict rev") == ["file,rev"]
