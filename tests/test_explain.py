"""Explanations: the equations are torch's, and what a token adds is what it takes away."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.classifier import Classifier
from model.explain import Explanation, OcclusionPlan, explain, log_odds
from model.text.vocabulary import UNKNOWN_ID
from model.traced_network import Cell, Trace, TracedNetwork, memory_retention


@pytest.fixture(scope="module")
def exact(tiny_artifact: Path) -> Classifier:
    """The reference engine: what runs beside a text changes nothing."""
    return Classifier.load(tiny_artifact, engine="torch")


def plan(classifier: Classifier, text: str, max_units: int = 1000) -> OcclusionPlan:
    (prediction,) = classifier.predict([text])
    return OcclusionPlan(classifier, text, prediction, max_units)


def probabilities(classifier: Classifier, ids: Sequence[int]) -> list[float]:
    result: list[float] = classifier.probabilities([ids])[0].tolist()
    return result


def test_the_equations_are_those_of_torch() -> None:
    torch.manual_seed(1)
    lstm = nn.LSTM(7, 5)
    vectors = torch.randn(40, 7) * 3
    with torch.no_grad():
        expected = lstm(vectors)[0].numpy()
    named = {name: parameter.detach().numpy() for name, parameter in lstm.named_parameters()}
    cell = Cell.of_torch(
        named["weight_ih_l0"],
        named["weight_hh_l0"],
        named["bias_ih_l0"] + named["bias_hh_l0"],
    )
    trace = cell.run(vectors.numpy())
    np.testing.assert_allclose(trace.states, expected, atol=1e-5)
    for gate in (trace.input_gate, trace.forget_gate, trace.output_gate):
        assert gate.shape == (40, 5)
        assert (gate > 0).all()
        assert (gate < 1).all()


def test_each_gate_does_what_its_name_says() -> None:
    """One unit without recurrence; biases open and shut the gates."""

    def read(input_gate: float, forget_gate: float, output_gate: float) -> list[float]:
        weights = np.array([[0], [0], [0], [1]], np.float32)
        bias = np.array([input_gate, forget_gate, output_gate, 0], np.float32)
        cell = Cell(weights, np.zeros((4, 1), np.float32), bias)
        states: list[float] = cell.run(np.array([[1], [0], [0]], np.float32)).states[:, 0].tolist()
        return states

    written = np.tanh(np.tanh(1))
    assert read(50, 50, 50) == pytest.approx([written] * 3)
    assert read(-50, 50, 50) == pytest.approx([0] * 3)
    assert read(50, -50, 50) == pytest.approx([written, 0, 0])
    assert read(50, 50, -50) == pytest.approx([0] * 3)


@pytest.mark.parametrize("text", ["房间很好，早餐太差", "好"])
def test_the_traced_network_is_the_one_that_was_trained(
    shipped_classifier: Classifier, text: str
) -> None:
    exact = Classifier.load(Path("model/artifacts/zh-general"), engine="torch")
    (ids,) = shipped_classifier.encode(text).windows
    network = TracedNetwork(exact.artifact.weights)
    (reading,) = network.trace([ids])
    np.testing.assert_allclose(reading.logits, exact.engine.logits([ids])[0], atol=1e-4)
    assert reading.attention.sum() == pytest.approx(1, abs=1e-6)
    # Windows that are traced beside it change nothing.
    _, beside, _ = network.trace([ids * 3, ids, ids[:1]])
    for rows, expected in zip(beside.backward, reading.backward, strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-5)
    np.testing.assert_allclose(beside.logits, reading.logits, atol=1e-5)


def test_what_is_retained_is_followed_from_word_to_state() -> None:
    random = np.random.default_rng(3)
    steps, units = 6, 4
    pool_weights, *rows = [random.random((steps, units), np.float32) for _ in range(6)]
    trace = Trace(*rows)
    expected = []
    for word in range(steps):
        kept = sum(
            pool_weights[state] * trace.forget_gate[word + 1 : state + 1].prod(axis=0)
            for state in range(word, steps)
        )
        written = np.abs(trace.input_gate[word] * trace.candidate[word])
        expected.append((written * kept).sum() / written.sum())
    np.testing.assert_allclose(memory_retention(trace, pool_weights), expected, rtol=1e-5)


def difference_in_log_odds(explanation: Explanation, without: Sequence[float]) -> list[float]:
    """log(p / (1 - p)) with, less that without, label by label."""
    pairs = zip(explanation.prediction.probabilities, without, strict=True)
    return [math.log(p / (1 - p)) - math.log(q / (1 - q)) for p, q in pairs]


def test_a_contribution_is_what_is_lost_without_the_token(exact: Classifier) -> None:
    text = "房间很好，早餐太差"
    explanation = explain(exact, text)
    assert explanation.unit == "token"
    (ids,) = exact.encode(text).windows
    read = [unit for unit in explanation.units if not unit.dropped]
    assert len(read) == len(ids) > 3
    for index, unit in enumerate(read):
        without = probabilities(exact, ids[:index] + ids[index + 1 :])
        assert unit.without == pytest.approx(without, abs=1e-5)
        expected = difference_in_log_odds(explanation, without)
        assert unit.attribution == pytest.approx(expected, abs=1e-4)


def test_log_odds_are_exact_where_a_probability_is_nearly_one() -> None:
    rare = 1e-30
    odds = log_odds(np.array([1 - 2 * rare, rare, rare]))
    assert odds == pytest.approx([-math.log(2 * rare), math.log(rare), math.log(rare)])
    assert np.isfinite(log_odds(np.array([1.0, 0.0, 0.0]))).all()


def test_a_clause_is_left_out_as_a_whole(exact: Classifier) -> None:
    text = "房间很好，早餐太差"
    (ids,) = exact.encode(text).windows
    planned = plan(exact, text, max_units=3)
    assert planned.unit == "clause"
    sizes = [len(unit) for unit in planned.units]
    assert len(sizes) == 2
    assert planned.windows == [ids[sizes[0] :], ids[: sizes[0]]]
    first, second = explain(exact, text, max_units=3).units
    assert (first.normalized, second.normalized) == ("房间 很 好 ,", "早餐 太 差")
    assert text[second.offset : second.offset + second.length] == "早餐太差"
    assert first.without == pytest.approx(probabilities(exact, ids[sizes[0] :]), abs=1e-5)


def test_a_text_of_any_length_is_explained_by_few_readings(exact: Classifier) -> None:
    for text in ("房间很好，早餐太差。" * 900, "房间很好" * 2000, "x" * 9000, "在 " * 300 + "好吃"):
        planned = plan(exact, text, max_units=40)
        assert planned.unit == ("token" if text.startswith("x") else "clause")
        assert len(planned.units) <= 40
        assert len(planned.windows) < 40 + len(planned.prediction.encoding.windows)


def test_the_explained_answer_is_the_one_that_is_given(tiny_classifier: Classifier) -> None:
    text = "房间很好，早餐太差"
    explanation = explain(tiny_classifier, text)
    assert explanation.prediction == next(tiny_classifier.predict([text]))
    served = explanation.prediction.probabilities
    assert explanation.float32_probabilities == pytest.approx(served, abs=0.05)
    assert explanation.float32_probabilities != served


def described(explanation: Explanation) -> list[tuple[str, bool, bool, bool]]:
    return [
        (unit.normalized, unit.dropped, bool(unit.unknown), unit.punctuation)
        for unit in explanation.units
    ]


def test_dropped_and_unknown_tokens_and_punctuation_are_marked(
    shipped_classifier: Classifier,
) -> None:
    explanation = explain(shipped_classifier, "与此同时，房間🪗不錯:)！！")
    assert described(explanation) == [
        ("与此同时", True, False, False),
        (",", False, False, True),
        ("房间", False, False, False),
        ("🪗", False, True, False),
        ("不错", False, False, False),
        (":)", False, False, False),
        ("!!", False, False, True),
    ]
    for unit in explanation.units:
        assert (unit.activations is None) == unit.dropped
        if unit.activations:
            assert all(0 < value < 1 for value in unit.activations.forward)
            assert all(0 < value < 1 for value in unit.activations.backward)
            assert all(0 < value <= 1 for value in unit.activations.retention)
        else:
            assert unit.attribution == (0, 0, 0)
            assert unit.without == explanation.prediction.probabilities
    (clause,) = explain(shipped_classifier, "与此同时，房間🪗不錯", max_units=1).units
    assert [token.normalized for token in clause.unknown] == ["🪗"]
    assert not clause.punctuation
    assert not clause.dropped


def test_a_text_of_stopwords_alone_is_read_and_explained(shipped_classifier: Classifier) -> None:
    explanation = explain(shipped_classifier, "与此同时")
    assert described(explanation) == [("与此同时", False, True, False)]
    (only,) = explanation.units
    assert only.without == pytest.approx(probabilities(shipped_classifier, [UNKNOWN_ID]), abs=1e-6)


def test_a_token_of_a_long_text_changes_its_own_window_alone(exact: Classifier) -> None:
    text = "房间很好，早餐太差。" * 80
    explanation = explain(exact, text, max_units=1000)
    assert explanation.unit == "token"
    encoding = explanation.prediction.encoding
    first, *others = encoding.windows
    assert others
    without = exact.decide(
        encoding := type(encoding)((first[1:], *others), 0, 0, 0, True),
        exact.probabilities(encoding.windows),
    )
    assert explanation.units[0].without == pytest.approx(without.probabilities, abs=1e-5)


def test_a_token_that_was_cut_between_windows_is_left_out_of_both(exact: Classifier) -> None:
    window = exact.artifact.manifest.text.window
    text = "x" * (window + 5)
    planned = plan(exact, text)
    assert [occlusion[:2] for occlusion in planned.occlusions] == [(0, 0), (0, 1)]
    assert [occlusion.remaining for occlusion in planned.occlusions] == [0, 0]
    (only,) = explain(exact, text).units
    assert only.without == pytest.approx(probabilities(exact, [UNKNOWN_ID]), abs=1e-5)
