"""What people call labels, and what each means."""

import pytest

from model.bulk.label_words import folded, parse_labels, understand
from model.config import LABELS
from model.errors import DataError


def meanings(*values: str) -> dict[str, str | None]:
    found = understand(values).labels
    return {value: None if label is None else LABELS[label] for value, label in found.items()}


@pytest.mark.parametrize(
    ("positive", "neutral", "negative"),
    [
        ("positive", "neutral", "negative"),
        (" Positive", "NEUTRAL ", "Negative"),
        ("POS", "Neu", "neg"),
        ("正面", "中性", "负面"),
        ("积极", "中性", "消极"),
        ("好评", "中评", "差评"),
        ("1", "0", "-1"),
        ("1.0", "0.0", "-1.0"),
        ("１", "０", "-1"),
        ("5", "3", "1"),
        ("4星", "三星", "一星"),
        ("5 stars", "3 stars", "1 star"),
        ("★★★★★", "★★★☆☆", "★☆☆☆☆"),
    ],
)
def test_what_people_write_is_known(positive: str, neutral: str, negative: str) -> None:
    found = meanings(positive, neutral, negative)
    assert list(found.values()) == ["positive", "neutral", "negative"]


def test_one_and_zero_are_two_classes_and_stars_are_not() -> None:
    assert meanings("1", "0") == {"1": "positive", "0": "negative"}
    assert understand(["1", "0"]).two_classes
    assert not understand(["1", "0", "-1"]).two_classes
    assert not understand(["5", "1"]).two_classes
    assert not understand(["positive", "negative"]).two_classes


def test_stars_are_read_in_halves_and_up_to_two_are_negative() -> None:
    found = meanings("1", "2", "2.5", "3", "3.5", "4", "4.5", "5")
    assert list(found.values()) == ["negative"] * 2 + ["neutral"] * 3 + ["positive"] * 3


@pytest.mark.parametrize(
    "values", [("0", "1", "2"), ("1", "2", "3"), ("1",), ("10", "7"), ("愤怒",)]
)
def test_what_may_mean_several_things_is_not_guessed(values: tuple[str, ...]) -> None:
    found = understand([*values, "好评"])
    assert set(found.unknown) == set(values)


def test_spellings_of_one_label_are_counted_together_and_listed_with_their_meaning() -> None:
    found = understand(["Positive", "positive ", "POSITIVE", "negative", "怒"])
    assert found.listed() == "Positive (3) is positive, negative (1) is negative, 怒 (1)"
    assert found.unknown == ["怒"]


def test_a_user_says_what_labels_mean_and_which_are_left_out() -> None:
    given = parse_labels("0=negative,1=中性，2 = Positive,无关=")
    found = understand(["0", "1", "2", "无关"], given)
    assert list(found.labels.values()) == [2, 1, 0, None]
    assert not found.unknown


def test_what_a_user_says_goes_before_what_is_known() -> None:
    assert understand(["好评", "差评"], parse_labels("好评=neutral")).labels["好评"] == 1


@pytest.mark.parametrize("definition", ["好评", "好评=很好", "=positive", "好评=positive,,"])
def test_a_definition_that_says_nothing_is_refused(definition: str) -> None:
    with pytest.raises(DataError, match="write 好评=positive,差评=negative"):
        parse_labels(definition)


def test_a_word_for_stars_alone_is_a_word() -> None:
    assert [folded(value) for value in ("星", "一", "nan", "inf")] == ["星", "一", "nan", "inf"]
