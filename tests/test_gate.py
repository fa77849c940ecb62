"""The gate: what it asks of a release, and that the model that ships gets through."""

import pytest
from click.testing import CliRunner

from model.classifier import Classifier
from model.config import LABELS
from model.constructions import load_constructions
from model.data import text_key
from model.gate import GateResult, GateSentence, gate_sentences, run_gate
from service.cli import main


def test_there_are_enough_sentences_of_every_group() -> None:
    sentences = gate_sentences()
    assert len(sentences) >= 200
    assert len({sentence.text for sentence in sentences}) == len(sentences)
    assert {sentence.label for sentence in sentences} == set(LABELS)
    groups = [sentence.group for sentence in sentences]
    assert min(groups.count(group) for group in set(groups)) >= 10


def test_the_model_that_ships_passes(shipped_classifier: Classifier) -> None:
    result = run_gate(shipped_classifier)
    assert result.passed, result.report()


def test_no_sentence_of_the_gate_is_trained_on() -> None:
    idioms = {s.text for s in gate_sentences() if s.group == "idioms"}
    own = {example.text for example in load_constructions(17)}
    keys = {text_key(text) for text in own} - {text_key("")}  # emoji alone have no letter
    for sentence in gate_sentences():
        assert sentence.text not in own
        assert text_key(sentence.text) not in keys, sentence.text
    assert not [idiom for idiom in idioms if any(idiom in text for text in own)]


@pytest.mark.parametrize(
    ("right", "passed"), [((10, 10), True), ((9, 10), True), ((10, 8), False), ((9, 9), False)]
)
def test_a_release_needs_95_in_100_of_all_and_90_of_each_group(
    tiny_classifier: Classifier, right: tuple[int, int], passed: bool
) -> None:
    text = "房间很好"
    prediction = next(tiny_classifier.predict([text]))
    wrong = "negative" if prediction.label == "positive" else "positive"
    answers = [
        (GateSentence(group, text, prediction.label if i < count else wrong), prediction)
        for group, count in zip("ab", right, strict=True)
        for i in range(10)
    ]
    result = GateResult(answers)
    assert result.passed is passed
    assert len(result.failures()) == 20 - sum(right)
    assert (f"is {wrong}:" in result.report()) == (sum(right) < 20)


def test_the_command_says_which_sentences_failed() -> None:
    result = CliRunner().invoke(main, ["gate"])
    assert "double negation" in result.output
    assert "in all" in result.output
