"""From texts to answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.classifier import Classifier, softmax
from model.engines import EngineChoice, Logits, available_cpus
from model.errors import BlankTextError

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
    with pytest.raises(BlankTextError):
        list(tiny_classifier.predict(["很好", " \u3000\n"]))


@pytest.mark.parametrize("text", ["123", "😂", "hello", "https://t.cn/a", "\u200b"])
def test_text_without_a_chinese_word_is_uncertain(tiny_classifier: Classifier, text: str) -> None:
    assert next(tiny_classifier.predict([text])).uncertain


def test_the_containers_cpu_limit_counts(tmp_path: Path) -> None:
    for quota, expected in (("100000 100000", 1), ("25000 100000", 1), ("max 100000", None)):
        (tmp_path / "cpu.max").write_text(quota)
        assert available_cpus(tmp_path) == (expected or available_cpus(tmp_path / "nowhere"))
