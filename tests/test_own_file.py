"""Training on one file of the user's own: what follows from its rows, and what is refused."""

import logging
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from model import artifact as artifacts
from model.bulk.labelled import read_labelled
from model.classifier import Classifier
from model.errors import DataError
from model.training.own_file import OwnFileRun, own_file_run
from model.training.templates import SHIPPED_SOURCE, shipped_sentences
from service.commands import main
from service.commands.terminal import program_name
from tests.support.texts import sentences, write_csv

HEADER = ("text", "label")
# Rows that say the opposite of what the small model has learnt.
CORRECTED = [(f"房间{end}", "negative") for end in ("很好", "非常满意", "太棒了", "特别喜欢")] + [
    (f"早餐{end}", "positive") for end in ("很差", "非常失望", "太糟糕了", "特别讨厌")
]
FAST = """
name = "adapted"
version = "0.1.0"
[replay]
sentences = 60
[finetune]
epochs = 1
batch_size = 16
"""


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def fast(tmp_path: Path) -> Path:
    """A configuration that adapts within seconds."""
    path = tmp_path / "fast.toml"
    path.write_text(FAST)
    return path


def run_on(
    tmp_path: Path, rows: Sequence[tuple[str, str]], *, adapt: bool, name: str = "mine.csv"
) -> OwnFileRun:
    labelled = read_labelled(write_csv(tmp_path / name, rows, HEADER))
    return own_file_run(labelled, adapt=adapt)


def many(*labels: str) -> list[tuple[str, str]]:
    """Return hundreds of rows, of these labels alone."""
    return [
        (f"{word}{text}", label)
        for word in ("", "今天", "昨天")
        for text, label in sentences()
        if label in labels
    ]


def test_of_many_rows_a_tenth_is_held_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, splits = run_on(tmp_path, many("positive", "neutral", "negative"), adapt=False)
    own = [row for row in splits.dev if row.source == "mine.csv"]
    assert config.name == "custom"
    assert len(own) + len(splits.train) == 648
    assert 40 < len(own) < 90
    assert f"{len(own)} are too few to calibrate by" in caplog.text


def test_all_of_a_few_rows_are_learnt_from_and_count_as_more(tmp_path: Path) -> None:
    config, splits = run_on(tmp_path, CORRECTED, adapt=True)
    assert len(splits.train) == len(CORRECTED)
    assert {row.source for row in splits.dev} == {SHIPPED_SOURCE}
    assert config.data.sources[0].weight == 100 / len(CORRECTED)


@pytest.mark.parametrize(
    ("rows", "two_classes"),
    [
        (many("positive", "negative"), True),
        (many("positive", "neutral", "negative"), False),
        (CORRECTED, False),  # that none of so few is neutral is chance
        ([(text, "01"[label == "positive"]) for text, label in CORRECTED], True),
        (many("positive"), False),
    ],
)
def test_rows_that_cannot_be_neutral_leave_what_a_model_knows_about_it(
    tmp_path: Path, rows: list[tuple[str, str]], two_classes: bool
) -> None:
    assert run_on(tmp_path, rows, adapt=True).config.data.sources[0].two_classes is two_classes
    if len(rows) > 100 and {label for _, label in rows} != {"positive"}:
        assert not run_on(tmp_path, rows, adapt=False).config.data.sources[0].two_classes


@pytest.mark.parametrize(
    ("rows", "adapt", "reason"),
    [
        (CORRECTED[:3], True, "3 texts to train on, and fewer than 5 teach nothing"),
        (CORRECTED, False, "fewer than 100 teach nothing .* start from a trained model by --from"),
        (many("negative"), False, "every row of .* is negative, and a model .* nothing else"),
        ([("很好", "positive"), ("很好！", "negative")] * 60, True, "give each text one label"),
    ],
)
def test_rows_of_which_nothing_good_can_come_are_refused(
    tmp_path: Path, rows: list[tuple[str, str]], adapt: bool, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        run_on(tmp_path, rows, adapt=adapt)


@pytest.mark.parametrize(
    ("rows", "adapt", "told"),
    [
        (CORRECTED, True, "there are only 4 positive, 4 negative: what is learnt from them holds"),
        (many("negative")[:60], True, "every row is negative: the model will answer so more often"),
        (many("negative", "positive"), False, "no row is neutral: the model will never answer so"),
        (
            [("很好", "positive"), *(row for row in CORRECTED if row[1] == "negative")],
            True,
            "the labels are uneven (1 positive, 4 negative): the model will answer negative more",
        ),
        ([*CORRECTED, CORRECTED[0]], True, "1 rows repeat the text of another and count once"),
        (
            [*CORRECTED, ("房间很好!", "positive")],
            True,
            "2 rows are left out since other rows give the same text another label, such as "
            "房间很好 (negative, positive)",
        ),
    ],
)
def test_what_rows_are_too_few_for_is_said_in_words(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    rows: list[tuple[str, str]],
    adapt: bool,
    told: str,
) -> None:
    run_on(tmp_path, rows, adapt=adapt)
    assert told in caplog.text


def test_the_sentences_that_a_model_is_scored_on_are_never_trained_on() -> None:
    scored, replayed = (
        {sentence.text for sentence in shipped_sentences(held_out=held_out)}
        for held_out in (True, False)
    )
    assert scored.isdisjoint(replayed)
    assert 400 < len(scored) < 700


def test_a_few_corrected_rows_are_learnt_and_can_be_served(
    tiny_artifact: Path, tmp_path: Path, fast: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibration and drift baseline stay; the int8 network is there; no score lacks its number."""
    monkeypatch.chdir(tmp_path)
    fast.write_text(FAST.replace("epochs = 1", "epochs = 20"))
    path = write_csv(
        tmp_path / "corrected.csv", [(*row, "wrong") for row in CORRECTED], (*HEADER, "marked")
    )
    arguments = ["train", str(path), "--from", str(tiny_artifact), "--config", str(fast)]
    result = CliRunner().invoke(main, arguments, prog_name="sentiment")
    assert result.exit_code == 0, result.output
    assert "sentiment predict FILE --model runs/adapted/artifact" in result.output
    start = artifacts.load(tiny_artifact).manifest
    classifier = Classifier.load(Path("runs/adapted/artifact"), engine="onnx")
    manifest = classifier.artifact.manifest
    assert manifest.temperature == start.temperature
    assert manifest.uncertain_below == start.uncertain_below
    assert manifest.drift_baseline == start.drift_baseline
    assert manifest.metrics.keys() == {SHIPPED_SOURCE}
    assert manifest.metrics[SHIPPED_SOURCE]["texts"] > 400
    assert "since 0 dev texts are too few to fit them on" in " ".join(
        classifier.artifact.card.split()
    )
    texts, labels = zip(*CORRECTED, strict=True)
    answers = [prediction.label for prediction in classifier.predict(texts)]
    assert np.mean(np.array(answers) == labels) > 0.7


def test_more_rows_can_be_trained_on_when_a_run_is_done(
    tiny_artifact: Path, tmp_path: Path, fast: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "corrected.csv"
    for rows in (CORRECTED, CORRECTED + sentences()[-5:]):
        write_csv(path, rows, HEADER)
        arguments = ["train", str(path), "--from", str(tiny_artifact), "--config", str(fast)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
    assert "| corrected.csv | 13 " in artifacts.load(Path("runs/adapted/artifact")).card
    assert not list(Path("runs/adapted").glob("*.checkpoint"))


def test_the_log_is_for_people(
    tiny_artifact: Path,
    tmp_path: Path,
    fast: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("model.progress._FIRST_LOG_SECONDS", 0.0)
    monkeypatch.setattr("model.progress._LOG_SECONDS", 0.0)
    path = write_csv(tmp_path / "mine.csv", many("positive", "neutral", "negative"), HEADER)
    arguments = ["train", str(path), "--from", str(tiny_artifact), "--config", str(fast)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    log = caplog.text
    assert "labels in column label: positive (216) is positive" in log
    assert "before training: mine.csv: accuracy" in log
    assert " s left" in log
    assert "epoch 1 of 1: mine.csv: accuracy" in log
    assert "nan" not in log
    assert "{" not in log


def test_options_for_a_file_need_one() -> None:
    result = CliRunner().invoke(main, ["train", "--config", "csv", "--column", "评论"])
    assert result.exit_code == 2
    assert "need a FILE" in result.output


def test_hints_name_the_program_as_it_can_be_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "my bin" / "sentiment"
    program.parent.mkdir()
    program.touch(mode=0o755)
    with click.Context(main, info_name="sentiment"):
        monkeypatch.setattr("sys.argv", [str(program)])
        monkeypatch.setenv("PATH", str(tmp_path))
        assert program_name() == f"'{program}'"
        monkeypatch.setenv("PATH", str(program.parent))
        assert program_name() == "sentiment"
    with click.Context(main, info_name="python -m service"):
        assert program_name() == "python -m service"
