"""Our own sentences: distinct, repeatable, each with the label that it was written for."""

from pathlib import Path

from model.config import LABELS
from model.training.templates import curated_sentences, template_sentences


def test_the_same_seed_gives_the_same_sentences() -> None:
    assert template_sentences(3) == template_sentences(3)
    assert template_sentences(3) != template_sentences(4)


def test_every_slot_is_filled_and_no_sentence_stands_twice() -> None:
    texts = [example.text for example in template_sentences(17)]
    assert len(texts) > 5000
    assert len(set(texts)) == len(texts)
    assert not [text for text in texts if "{" in text or "}" in text]


def test_words_of_one_sentence_come_from_one_domain(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        'lists = {very = ["很"]}\n'
        "[domains]\n"
        'food = {good = ["香", "甜"], bad = ["咸"]}\nroom = {good = ["亮", "大"], bad = ["小"]}\n'
        '[[templates]]\nlabel = "negative"\neach = 50\nforms = ["{good}{good}，但{very}{bad}"]\n',
        encoding="utf-8",
    )
    examples = template_sentences(17, path)
    assert {example.text for example in examples} == {
        "香甜，但很咸", "甜香，但很咸", "亮大，但很小", "大亮，但很小",
    }  # fmt: skip
    assert {LABELS[example.label] for example in examples} == {"negative"}


def test_sentences_written_one_by_one_are_distinct_and_balanced_in_each_kind() -> None:
    sentences = curated_sentences()
    assert len(sentences) > 5000
    assert len({sentence.text for sentence in sentences}) == len(sentences)
    assert all(sentence.text.strip() and sentence.group for sentence in sentences)
    # No kind gives its label away: the most frequent one has at most nine in ten.
    kinds: dict[str, list[int]] = {}
    for sentence in sentences:
        kinds.setdefault(sentence.group, []).append(sentence.label)
    for kind, labels in kinds.items():
        assert max(map(labels.count, labels)) <= 0.9 * len(labels), kind
