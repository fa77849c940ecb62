"""The model that ships: sentences written for it, and its scores on the real test splits."""

from pathlib import Path

import numpy as np
import pytest

from model.classifier import Classifier
from model.config import LABELS, load_config
from model.corpora import load_test
from model.network_shapes import MAX_LSTM
from tests.support.artifacts import SHIPPED

SENTENCES = [
    ("这家餐厅的菜好吃", "positive"),
    ("这家餐厅的菜不好吃", "negative"),
    ("會議定於下週三上午九點舉行", "neutral"),
    ("会议定于下周三上午九点举行", "neutral"),
    ("物美价廉", "positive"),
    ("名不副实", "negative"),
    ("這家餐廳的菜好吃", "positive"),
    ("這家餐廳的菜不好吃", "negative"),
    ("这家餐厅的菜好吃！", "positive"),
    ("房间干净，服务也好", "positive"),
    ("请问明天几点开门", "neutral"),
    ("太失望了，再也不会买了", "negative"),
]


@pytest.mark.parametrize(("text", "label"), SENTENCES)
def test_a_sentence_gets_its_label(shipped_classifier: Classifier, text: str, label: str) -> None:
    prediction = next(shipped_classifier.predict([text]))
    assert prediction.label == label, prediction.probabilities


def test_traditional_characters_change_nothing(shipped_classifier: Classifier) -> None:
    simplified, traditional = shipped_classifier.predict(
        ["这家餐厅的菜不好吃", "這家餐廳的菜不好吃"]
    )
    assert simplified.probabilities == traditional.probabilities


def test_it_fits_its_size() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 40 * 1024 * 1024


def test_its_manifest_is_that_of_the_configuration(shipped_classifier: Classifier) -> None:
    config, manifest = load_config("zh-general"), shipped_classifier.artifact.manifest
    assert (manifest.name, manifest.version) == (config.name, config.version)
    assert (manifest.text, manifest.network) == (config.text, config.network)


def test_its_scores_on_a_real_test_split_hold(
    shipped_classifier: Classifier, corpora: Path
) -> None:
    source = next(s for s in load_config("zh-general").data.sources if s.name == "smp2020_usual")
    examples = load_test(source, corpora)[:1000]
    predictions = list(shipped_classifier.predict(example.text for example in examples))
    right = [p.label == LABELS[e.label] for p, e in zip(predictions, examples, strict=True)]
    assert sum(right) / len(right) > 0.8


def test_it_reads_texts_of_every_domain(shipped_classifier: Classifier, corpora: Path) -> None:
    source = next(s for s in load_config("zh-general").data.sources if s.name == "annotated")
    examples = load_test(source, corpora)[:1000]
    predictions = list(shipped_classifier.predict(example.text for example in examples))
    right = [p.label == LABELS[e.label] for p, e in zip(predictions, examples, strict=True)]
    assert sum(right) / len(right) > 0.76


def test_its_network_in_int8_cannot_overflow(shipped_classifier: Classifier) -> None:
    tensors = shipped_classifier.artifact.int8_weights
    assert tensors is not None
    for name in ("input_weights", "recurrent_weights"):
        assert np.abs(tensors[name].astype(int)).max() == MAX_LSTM, name
