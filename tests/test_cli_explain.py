"""`sentiment explain`: the label, what each word adds to it, and what the gates did."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient

from service.commands import main
from tests.support.terminal import in_terminal

TEXT = "房间很好，早餐很差"


def explained(model: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments, "--model", str(model)])


def test_words_stand_with_the_contributions_that_the_api_gives(
    tiny_artifact: Path, client: TestClient
) -> None:
    reply = client.post("/v1/explain", json={"text": TEXT}).json()
    assert json.loads(explained(tiny_artifact, TEXT, "--json").stdout) == reply
    shown = explained(tiny_artifact, TEXT).stdout
    label = reply["label"]
    assert shown.startswith(label)
    assert f"What each word adds to {label}" in shown
    for name, share in reply["probabilities"].items():
        assert re.search(rf"^  {name} .* {share:.1%}$", shown, re.MULTILINE)
    lines = shown.split("log-odds:\n")[1].splitlines()
    for line, unit in zip(lines, reply["tokens"], strict=True):
        added = unit["contribution"][label]
        assert line.split()[:2] == [unit["text"], f"{added:+.2f}"]
        before, after = line.split("│")
        assert ("█" in before) <= (added < 0)
        assert ("█" in after) <= (added > 0)
        assert ("not in the vocabulary" in line) == bool(unit["unknown"])


def test_a_word_that_the_vocabulary_lacks_says_so(tiny_artifact: Path) -> None:
    lines = explained(tiny_artifact, f"{TEXT}，鑫鑫").stdout.splitlines()
    assert lines[-1].split()[0] == "鑫鑫"
    assert lines[-1].endswith("not in the vocabulary: 鑫鑫")


def test_a_word_that_is_dropped_says_so(tiny_artifact: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("早餐\n", encoding="utf-8")
    result = explained(tiny_artifact, TEXT, "--gates", "--extra-stopwords", str(words))
    added, gates = result.stdout.split("What the gates did")
    for part in (added, gates):
        (line,) = (line for line in part.splitlines() if "早餐" in line)
        assert line.endswith("dropped: a stopword")


def test_the_gates_stand_forwards_and_backwards(tiny_artifact: Path) -> None:
    units = json.loads(explained(tiny_artifact, TEXT, "--json").stdout)["tokens"]
    shown = explained(tiny_artifact, TEXT, "--gates").stdout.split("What the gates did")[1]
    for line, unit in zip(shown.splitlines()[2:], units, strict=True):
        pairs = re.findall(r"(\d\.\d\d) / (\d\.\d\d)", line)
        forward, backward = unit["gates"]["forward"], unit["gates"]["backward"]
        expected = [(forward[gate], backward[gate]) for gate in ("input", "forget", "output")]
        expected.append((unit["retained"]["forward"], unit["retained"]["backward"]))
        for pair, values in zip(pairs, expected, strict=True):
            assert tuple(map(float, pair)) == pytest.approx(values, abs=0.0051)


def test_a_long_text_is_explained_by_clauses_that_fit_a_line(tiny_artifact: Path) -> None:
    shown = explained(tiny_artifact, "房间很好，早餐很差" * 40 + "，" + "好" * 60).stdout
    assert "What each clause adds" in shown
    assert "…" in shown
    assert shown.splitlines()[-1].endswith("not in the vocabulary: 好好")


@pytest.mark.parametrize(
    ("text", "message"),
    [("评论.csv", "is no text but a file; give --text"), (" <br>", "the text is empty or blank")],
)
def test_what_is_no_text_is_not_explained(text: str, message: str, tiny_artifact: Path) -> None:
    result = explained(tiny_artifact, text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_text_cannot_steer_the_terminal(tiny_artifact: Path) -> None:
    assert "\x1b" not in explained(tiny_artifact, "很好\x1b[2J龘\x9b").stdout


@pytest.mark.process
@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_it_wants_none(
    variables: dict[str, str], coloured: bool, tiny_artifact: Path
) -> None:
    with in_terminal("explain", TEXT, "--model", tiny_artifact, **variables) as terminal:
        assert terminal.end() == 0
    assert ("\x1b[" in terminal.shown) is coloured
