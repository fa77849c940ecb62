"""Explanations: the equations are torch's, and what a token adds is what it takes away."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.classifier import Classifier
from model.explain import Explanation, OcclusionPlan, plan_occlusions
from model.text.vocabulary import UNKNOWN_ID
from model.traced_network import Cell, Trace, TracedNetwork, memory_retention


@pytest.fixture(scope="module")
def exact(tiny_artifact: Path) -> Classifier:
    """The reference engine: what runs beside a text changes nothing."""
    return Classifier.load(tiny_artifact, engine="torch")


@pytest.fixture(scope="module")
def network(exact: Classifier) -> TracedNetwork:
    return TracedNetwork(exact.artifact.weights)


def plan(classifier: Classifier, text: str) -> OcclusionPlan:
    (prediction,) = classifier.predict([text])
    return plan_occlusions(classifier, text, prediction, max_tokens=1000)


def explain(classifier: Classifier, network: TracedNetwork, text: str) -> Explanation:
    planned = plan(classifier, text)
    traces = [network.trace(ids) for ids in planned.prediction.encoding.windows]
    return planned.attribute(traces, classifier.probabilities(planned.windows))


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
    cell = Cell(
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
        weights = np.array([[0], [0], [1], [0]], np.float32)
        bias = np.array([input_gate, forget_gate, 0, output_gate], np.float32)
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
    reading = TracedNetwork(exact.artifact.weights).trace(ids)
    np.testing.assert_allclose(reading.logits, exact.engine.logits([ids])[0], atol=1e-4)
    assert reading.attention.sum() == pytest.approx(1, abs=1e-6)


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


def test_a_contribution_is_what_is_lost_without_the_token(
    exact: Classifier, network: TracedNetwork
) -> None:
    text = "房间很好，早餐太差"
    explanation = explain(exact, network, text)
    (ids,) = exact.encode(text).windows
    read = [explained for explained in explanation.tokens if not explained.token.dropped]
    assert len(read) == len(ids) > 3
    for index, explained in enumerate(read):
        without = probabilities(exact, ids[:index] + ids[index + 1 :])
        difference = np.subtract(explanation.prediction.probabilities, without)
        assert explained.attribution == pytest.approx(difference, abs=1e-5)
        assert sum(explained.attribution) == pytest.approx(0, abs=1e-6)


def test_the_explained_answer_is_the_one_that_is_given(
    tiny_classifier: Classifier, network: TracedNetwork
) -> None:
    text = "房间很好，早餐太差"
    explanation = explain(tiny_classifier, network, text)
    assert explanation.prediction == next(tiny_classifier.predict([text]))
    served = explanation.prediction.probabilities
    assert explanation.float32_probabilities == pytest.approx(served, abs=0.05)
    assert explanation.float32_probabilities != served


def described(explanation: Explanation) -> list[tuple[str, bool, bool]]:
    return [
        (explained.token.normalized, explained.token.dropped, explained.unknown)
        for explained in explanation.tokens
    ]


def test_dropped_and_unknown_tokens_are_marked(
    shipped_classifier: Classifier,
) -> None:
    network = TracedNetwork(shipped_classifier.artifact.weights)
    explanation = explain(shipped_classifier, network, "与此同时，房間🪗不錯")
    assert described(explanation)[0] == ("与此同时", True, False)
    assert ("🪗", False, True) in described(explanation)
    assert ("不错", False, False) in described(explanation)
    for explained in explanation.tokens:
        assert (explained.activations is None) == explained.token.dropped
        if explained.activations:
            assert all(0 < value < 1 for value in explained.activations.forward)
            assert all(0 < value < 1 for value in explained.activations.backward)
            assert all(0 < value <= 1 for value in explained.activations.retention)
        else:
            assert explained.attribution == (0, 0, 0)


def test_a_text_of_stopwords_alone_is_read_and_explained(shipped_classifier: Classifier) -> None:
    network = TracedNetwork(shipped_classifier.artifact.weights)
    explanation = explain(shipped_classifier, network, "与此同时")
    assert described(explanation) == [("与此同时", False, True)]
    (only,) = explanation.tokens
    nothing = probabilities(shipped_classifier, [UNKNOWN_ID])
    expected = np.subtract(explanation.prediction.probabilities, nothing)
    assert only.attribution == pytest.approx(expected, abs=1e-6)


def test_a_token_of_a_long_text_changes_its_own_window_alone(
    exact: Classifier, network: TracedNetwork
) -> None:
    text = "房间很好，早餐太差。" * 80
    explanation = explain(exact, network, text)
    encoding = explanation.prediction.encoding
    first, *others = encoding.windows
    assert others
    without = exact.decide(
        encoding := type(encoding)((first[1:], *others), 0, 0, 0, True),
        exact.probabilities(encoding.windows),
    )
    expected = np.subtract(explanation.prediction.probabilities, without.probabilities)
    assert explanation.tokens[0].attribution == pytest.approx(expected, abs=1e-5)


def test_a_token_that_was_cut_between_windows_is_left_out_of_both(
    exact: Classifier, network: TracedNetwork
) -> None:
    window = exact.artifact.manifest.text.window
    text = "x" * (window + 5)
    planned = plan(exact, text)
    assert [occlusion[:2] for occlusion in planned.occlusions] == [(0, 0), (0, 1)]
    assert [occlusion.remaining for occlusion in planned.occlusions] == [0, 0]
    (only,) = explain(exact, network, text).tokens
    expected = np.subtract(planned.prediction.probabilities, probabilities(exact, [UNKNOWN_ID]))
    assert only.attribution == pytest.approx(expected, abs=1e-5)
