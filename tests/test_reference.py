"""What answers look like on dev, and how far others are from it; worked by hand."""

import json
import math
from pathlib import Path

import pytest

from model import artifact as artifacts
from model.drift import Observation, measure, record, stability
from model.errors import ArtifactError

HALF = [Observation("positive", 0.95, 9, 1), Observation("negative", 0.55, 1, 0)]


def test_shares_are_counted_over_texts_and_tokens() -> None:
    measured = measure(HALF)
    assert measured.labels == {"positive": 0.5, "neutral": 0, "negative": 0.5}
    assert measured.confidence == (0, 0, 0.5, 0, 0, 0, 0.5, 0, 0)
    assert measured.mean_confidence == pytest.approx(0.75)
    assert measured.unknown == 0.1


def test_nothing_has_drifted_from_itself() -> None:
    assert set(stability(measure(HALF), measure(HALF)).values()) == {0}


def test_the_index_of_a_shift_is_the_one_worked_by_hand() -> None:
    three_to_one = [HALF[0]] * 3 + [HALF[1]]
    index = stability(measure(HALF), measure(three_to_one))
    assert index["labels"] == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
    assert index["confidence"] == pytest.approx(index["labels"])
    assert 0 < index["unknown"] < 0.1


def test_a_label_that_vanishes_is_drift_and_not_infinite() -> None:
    index = stability(measure(HALF), measure(HALF[:1]))
    assert 1 < index["labels"] < 10


def test_training_records_the_reference(tiny_artifact: Path) -> None:
    reference = artifacts.load(tiny_artifact).manifest.reference
    assert reference
    assert reference.texts > 10
    assert sum(reference.labels.values()) == pytest.approx(1)
    assert sum(reference.confidence) == pytest.approx(1)


def test_the_reference_of_an_artifact_can_be_recorded_anew(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    artifacts.save(artifacts.load(tiny_artifact), tmp_path)
    recorded = record(tmp_path, ["房间很好", "", "<br>", "早餐很好"])
    assert recorded.labels["positive"] == 1
    assert recorded.texts == 2
    again = artifacts.load(tmp_path)
    assert again.manifest.reference == recorded
    assert again.manifest.files == artifacts.load(tiny_artifact).manifest.files


def test_a_reference_without_a_label_is_refused(tiny_artifact: Path, tmp_path: Path) -> None:
    artifacts.save(artifacts.load(tiny_artifact), tmp_path)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["reference"]["labels"]["neutral"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ArtifactError, match="labels must be positive, neutral, negative"):
        artifacts.load(tmp_path)
