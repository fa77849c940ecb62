"""Drift: summaries of answers, and how far others are from the baseline; worked by hand."""

import json
import math
from pathlib import Path

import pytest

from model import artifact as artifacts
from model.artifact import DriftBaseline
from model.classifier import Classifier
from model.drift import (
    Observation,
    population_stability_index,
    summarize,
    summarize_answers,
)
from model.errors import ArtifactError
from model.training.run import train
from tests.support.artifacts import small_config

HALF = [Observation("positive", 0.95, 9, 1), Observation("negative", 0.55, 1, 0)]


def test_shares_are_counted_over_texts_and_tokens() -> None:
    measured = summarize(HALF)
    assert measured.labels == {"positive": 0.5, "neutral": 0, "negative": 0.5}
    assert measured.confidence == (0, 0, 0.5, 0, 0, 0, 0.5, 0, 0)
    assert measured.mean_confidence == pytest.approx(0.75)
    assert measured.unknown == 0.1


def test_nothing_has_drifted_from_itself() -> None:
    assert set(population_stability_index(summarize(HALF), summarize(HALF)).values()) == {0}


def test_the_index_of_a_shift_is_the_one_worked_by_hand() -> None:
    three_to_one = [HALF[0]] * 3 + [HALF[1]]
    index = population_stability_index(summarize(HALF), summarize(three_to_one))
    assert index["labels"] == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
    assert index["confidence"] == pytest.approx(index["labels"])
    assert 0 < index["unknown"] < 0.1


def test_a_label_that_vanishes_is_drift_and_not_infinite() -> None:
    index = population_stability_index(summarize(HALF), summarize(HALF[:1]))
    assert 1 < index["labels"] < 10


def test_training_stores_a_baseline_of_enough_dev_texts(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained() -> DriftBaseline | None:
        arguments = (small_config(corpus), corpus.parent, tmp_path / "run", tmp_path / "artifact")
        return train(*arguments).manifest.drift_baseline

    assert trained() is None
    monkeypatch.setattr("model.training.run.MIN_DEV_TEXTS", 10)
    baseline = trained()
    assert baseline
    assert baseline.texts > 10
    assert sum(baseline.labels.values()) == pytest.approx(1)
    assert sum(baseline.confidence) == pytest.approx(1)


def test_the_baseline_of_an_artifact_can_be_replaced(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    baseline = summarize_answers(tiny_classifier, ["房间很好", "", "<br>", "早餐很好"])
    assert baseline.labels["positive"] == 1
    assert baseline.texts == 2
    artifact = tiny_classifier.artifact
    artifacts.save(artifact.with_drift_baseline(baseline), tmp_path)
    again = artifacts.load(tmp_path)
    assert again.manifest.drift_baseline == baseline
    assert again.manifest.files == artifact.manifest.files


def test_a_baseline_without_a_label_is_refused(tiny_artifact: Path, tmp_path: Path) -> None:
    artifacts.save(artifacts.load(tiny_artifact), tmp_path)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["drift_baseline"]["labels"]["neutral"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ArtifactError, match="labels must be positive, neutral, negative"):
        artifacts.load(tmp_path)
