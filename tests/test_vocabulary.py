"""The vocabulary: what is in it, and what a word that is not becomes."""

from collections import Counter

import pytest

from model.text.vocabulary import PADDING, UNKNOWN, UNKNOWN_ID, Vocabulary


def test_a_known_word_is_one_id_and_its_line() -> None:
    vocabulary = Vocabulary([PADDING, UNKNOWN, "好吃"])
    assert vocabulary.ids("好吃") == (2,)


def test_a_word_that_it_lacks_backs_off_to_its_characters() -> None:
    vocabulary = Vocabulary([PADDING, UNKNOWN, "好", "吃"])
    assert vocabulary.ids("好吃") == (2, 3)
    assert vocabulary.ids("难吃") == (UNKNOWN_ID, 3)


def test_the_most_frequent_words_are_kept_and_characters_count_for_their_words() -> None:
    counts = Counter({"好吃": 5, "好看": 4, "难": 3, "罕见": 1})
    vocabulary = Vocabulary.build(counts, size=7, minimum_count=2)
    assert vocabulary.words == (PADDING, UNKNOWN, "好", "吃", "好吃", "好看", "看")


def test_rare_words_are_left_out() -> None:
    vocabulary = Vocabulary.build(Counter({"好": 2, "坏": 1}), size=100, minimum_count=2)
    assert "坏" not in vocabulary
    assert len(vocabulary) == 3


def test_the_same_counts_in_another_order_give_the_same_vocabulary() -> None:
    words = ["甲", "乙", "丙", "丁"]
    first = Vocabulary.build(Counter(words), 10, 1)
    assert first.words == Vocabulary.build(Counter(reversed(words)), 10, 1).words


@pytest.mark.parametrize("words", [[], ["好", "坏"], [PADDING, UNKNOWN, "好", "好"]])
def test_words_that_make_no_vocabulary_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="word"):
        Vocabulary(words)
