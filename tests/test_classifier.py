"""From texts to answers."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from model.classifier import Classifier, softmax
from model.engines import BATCH_IDS, EngineChoice, Logits, available_cpus, group_by_length
from model.errors import BlankTextError
from model.progress import Progress

TEXTS = ["房间很好", "早餐很差，太糟糕了", "电影在三楼", "服务一般" * 300]


def test_probabilities_sum_to_one_and_name_the_label(tiny_classifier: Classifier) -> None:
    for prediction in tiny_classifier.predict(TEXTS):
        assert sum(prediction.probabilities) == pytest.approx(1)
        assert prediction.confidence == max(prediction.probabilities)


# In int8 a batch shares its rounding.
@pytest.mark.parametrize(("engine", "tolerance"), [("torch", 1e-5), ("onnx", 0.03)])
def test_alone_and_in_a_batch_is_the_same(
    tiny_artifact: Path, engine: EngineChoice, tolerance: float
) -> None:
    classifier = Classifier.load(tiny_artifact, engine=engine)
    together = classifier.predict(TEXTS)
    for text, prediction in zip(TEXTS, together, strict=True):
        alone = next(classifier.predict([text]))
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=tolerance)


def test_no_texts_get_no_answers(tiny_classifier: Classifier) -> None:
    assert list(tiny_classifier.predict([])) == []


def test_any_number_of_texts_is_read_as_it_is_asked_for(tiny_classifier: Classifier) -> None:
    read = 0

    def without_end() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "房间很好" if read % 2 else "早餐很差"

    predictions = tiny_classifier.predict(without_end())
    labels = [prediction.label for prediction in islice(predictions, 5000)]
    assert labels == ["positive", "negative"] * 2500
    assert read < 5000 + 3 * 2048
    predictions.close()


def test_progress_counts_the_texts(
    tiny_classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Progress("texts", 3000) as progress:
        list(tiny_classifier.predict(["房间很好"] * 3000, progress))
    assert "texts: 3000 of 3000" in caplog.text


def test_near_lengths_run_together() -> None:
    lengths = [3, 100, 4, 90, 250, 3, 60, 1]
    assert group_by_length(lengths) == [[4], [1, 3, 6], [2, 0, 5], [7]]
    assert group_by_length([5] * 40, 16) == [[*range(16)], [*range(16, 32)], [*range(32, 40)]]
    assert max(map(len, group_by_length([256] * 40))) * 256 <= BATCH_IDS
    assert group_by_length([]) == []


class LastWordEngine:
    """Answers by the last id of a window, so that windows differ in a known way."""

    name = "last word"

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        return np.array([[float(ids[-1] == 2), 0, 0] for ids in batch], np.float32)


def test_windows_are_combined_by_their_length(tiny_classifier: Classifier) -> None:
    classifier = Classifier(tiny_classifier.artifact, LastWordEngine())
    encoding = replace(classifier.encode("好"), windows=((2,), (3, 3, 5)))
    windows = classifier.probabilities(encoding.windows)
    combined = classifier.decide(encoding, windows).probabilities
    temperature = classifier.artifact.manifest.temperature
    first, second = softmax(np.array([[1, 0, 0], [0, 0, 0]], np.float32), temperature)
    assert combined == pytest.approx(0.25 * first + 0.75 * second)


def test_the_end_of_a_long_text_counts(shipped_classifier: Classifier) -> None:
    good, bad = "房间很干净，早餐也好吃。" * 20, "服务太差了，再也不来了。" * 80
    assert next(shipped_classifier.predict([good])).label == "positive"
    prediction = next(shipped_classifier.predict([good + bad]))
    assert len(prediction.encoding.windows) > 1
    assert prediction.label == "negative"


def test_blank_text_is_refused(tiny_classifier: Classifier) -> None:
    for text in (" \u3000\n", "<br>", "https://t.cn/a", "\u200b"):
        with pytest.raises(BlankTextError):
            list(tiny_classifier.predict(["很好", text]))


@pytest.mark.parametrize("text", ["123", "😂", "hello", "the room is great, I love it", "！！！"])
def test_text_without_a_chinese_word_is_uncertain(tiny_classifier: Classifier, text: str) -> None:
    prediction = next(tiny_classifier.predict([text]))
    assert prediction.uncertain
    assert "no_chinese" in prediction.uncertain_because


@pytest.mark.parametrize(
    ("text", "sure", "doubts"),
    [
        ("房间很好", True, ()),
        ("房间很好", False, ("low_confidence",)),
        ("123", True, ("no_chinese", "unknown_words")),
        ("魑魅早餐", True, ()),  # unknown words alone make no answer uncertain
        ("魑魅早餐", False, ("low_confidence", "unknown_words")),
        ("魑魅早餐很好", False, ("low_confidence",)),  # fewer than half
    ],
)
def test_an_answer_says_why_it_is_uncertain(
    tiny_classifier: Classifier, text: str, sure: bool, doubts: tuple[str, ...]
) -> None:
    encoding = tiny_classifier.encode(text)
    probabilities = np.array([[1, 0, 0] if sure else [0.4, 0.3, 0.3]])
    prediction = tiny_classifier.decide(encoding, probabilities)
    assert prediction.uncertain_because == doubts
    assert prediction.uncertain == bool(doubts)


def test_the_containers_cpu_limit_counts(tmp_path: Path) -> None:
    unlimited = available_cpus(tmp_path / "nowhere")
    for quota, expected in (("100000 100000", 1), ("25000 100000", 1), ("max 100000", unlimited)):
        (tmp_path / "cpu.max").write_text(quota)
        assert available_cpus(tmp_path) == expected


def test_the_containers_cpu_limit_counts_under_cgroups_of_the_first_version(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    unlimited = available_cpus(tmp_path / "nowhere")
    for quota, expected in (("100000\n", 1), ("25000\n", 1), ("-1\n", unlimited)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        assert available_cpus(tmp_path) == expected
