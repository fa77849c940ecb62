"""Measuring a model on a labelled file of the user's own."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from model.bulk.labelled import read_labelled
from model.classifier import Classifier
from model.evaluation.own_file import FileEvaluation, ResultTable, evaluate_file
from service.commands import main
from tests.support.texts import sentences, write_csv

HEADER = ("评论内容", "标签")
WORDS = {"positive": "好评", "neutral": "中评", "negative": "差评"}
WRONG = ("房间非常满意，早餐很好", "差评")


def evaluate(path: Path, model: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["evaluate", str(path), "--model", str(model), *arguments], catch_exceptions=False
    )


def labelled_file(path: Path, *labels: str) -> Path:
    rows = [(text, WORDS[label]) for text, label in sentences() if label in labels]
    return write_csv(path, [*rows, WRONG, ("", "好评")], HEADER)


@pytest.fixture
def evaluation(tmp_path: Path, tiny_classifier: Classifier) -> FileEvaluation:
    """All sentences, of which the small model knows the labels, and one that is mislabelled."""
    path = labelled_file(tmp_path / "标注.csv", "positive", "neutral", "negative")
    return evaluate_file(read_labelled(path), tiny_classifier)


def table(evaluation: FileEvaluation, title: str) -> ResultTable:
    return next(each for each in evaluation.tables() if each.title == title)


def test_scores_carry_the_number_of_texts_and_how_sure_they_are(evaluation: FileEvaluation) -> None:
    first, second, *others = evaluation.summary()
    assert re.fullmatch(r"accuracy 99\.\d%, macro-F1 99\.\d% of 217 texts", first)
    lower, upper = (float(share) for share in re.findall(r"([\d.]+)%", second))
    assert 96 < lower < 99.5 < upper < 100
    assert others == ["1 rows that have no text or no label do not count"]


def test_few_texts_prove_little(tmp_path: Path, tiny_classifier: Classifier) -> None:
    rows = [(text, WORDS[label]) for text, label in sentences()[::90]]
    path = write_csv(tmp_path / "a.csv", rows, HEADER)
    summary = evaluate_file(read_labelled(path), tiny_classifier).summary()
    assert summary[0] == "accuracy 100.0%, macro-F1 100.0% of 3 texts"
    assert "between 43.8% and 100.0%" in summary[1]


def test_every_text_is_in_every_table(evaluation: FileEvaluation) -> None:
    confusion = np.array([row[1:] for row in table(evaluation, "Confusion").rows], dtype=int)
    assert confusion.sum(axis=1).tolist() == [72, 72, 73]
    assert confusion[2, 0] == 1
    assert [row[1] for row in table(evaluation, "By label").rows] == ["72", "72", "73"]
    assert sum(int(row[0]) for row in table(evaluation, "Reliability").rows) == 217
    coverage = table(evaluation, "Coverage").rows
    counts = [int(row[1]) for row in coverage[:-1]]
    assert counts == sorted(counts, reverse=True)
    assert coverage[-1][0] == "not uncertain"


def test_the_most_confidently_wrong_row_is_shown_with_its_number(
    evaluation: FileEvaluation,
) -> None:
    (first, *_) = table(evaluation, "Most confidently wrong").rows
    assert first[:3] == ["217", "negative", "positive"]
    assert first[-1] == WRONG[0]


def test_without_a_neutral_row_the_likelier_of_two_counts(
    tmp_path: Path, tiny_classifier: Classifier
) -> None:
    path = labelled_file(tmp_path / "a.csv", "positive", "negative")
    evaluation = evaluate_file(read_labelled(path), tiny_classifier)
    assert "No row is neutral".lower() in evaluation.summary()[-1]
    assert [row[0] for row in table(evaluation, "Confusion").rows] == ["positive", "negative"]


def test_the_command_prints_tables_and_draws_pictures(tmp_path: Path, tiny_artifact: Path) -> None:
    path = labelled_file(tmp_path / "标注.csv", "positive", "neutral", "negative")
    result = evaluate(path, tiny_artifact)
    assert result.exit_code == 0
    assert "accuracy 99." in result.stdout
    assert "label     answered positive  answered neutral  answered negative\n" in result.stdout
    for title in ("By label", "Confusion", "Coverage", "Reliability", "Most confidently wrong"):
        assert f"\n{title}\n" in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()[:-1]) <= 104
    for name in ("confusion", "reliability"):
        picture = tmp_path / "标注.evaluation" / f"{name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_pictures_go_where_they_are_wanted_and_labels_mean_what_is_said(
    tmp_path: Path, tiny_artifact: Path
) -> None:
    path = write_csv(tmp_path / "a.csv", [("房间很好", "A"), ("房间很差", "B")], HEADER)
    figures = tmp_path / "figures"
    arguments = ["--labels", "A=positive,B=negative", "--figures", str(figures)]
    result = evaluate(path, tiny_artifact, *arguments)
    assert "accuracy 100.0%, macro-F1 100.0% of 2 texts" in result.stdout
    assert (figures / "confusion.png").exists()


def test_what_is_for_test_splits_is_refused_for_a_file(tmp_path: Path, tiny_artifact: Path) -> None:
    path = labelled_file(tmp_path / "a.csv", "positive", "negative")
    result = evaluate(path, tiny_artifact, "--baselines")
    assert result.exit_code == 2
    assert "with a FILE, only --model and --figures go with it" in result.output


def test_a_text_cannot_steer_the_terminal(tmp_path: Path, tiny_artifact: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("房间很好\x1b[2J", "差评"), ("很好", "好评")], HEADER)
    assert "\x1b" not in evaluate(path, tiny_artifact).stdout
