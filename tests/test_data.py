"""Labelled texts: what is read, what is left out and why."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from model.config import LABELS, DataConfig, SourceConfig, UnlabelledConfig, load_config
from model.corpora import (
    load_blocklist,
    load_kinds,
    load_splits,
    load_unlabelled,
    near_length_batches,
    read_examples,
    text_digest,
    text_key,
)
from model.errors import DataError
from tests.support.texts import sentences, write_csv


def config(*sources: SourceConfig, blocklist: str | None = None) -> DataConfig:
    return DataConfig(sources=sources, blocklist=blocklist, dev_modulus=5)


def source(name: str, **fields: object) -> SourceConfig:
    return SourceConfig.model_validate({"name": name, "train": [f"{name}.csv"], **fields})


def test_a_csv_file_with_text_and_label_is_read(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv", [("很好", "positive"), ("一般，\n还行", "neutral")], ("text", "label")
    )
    assert [(e.text, LABELS[e.label]) for e in read_examples(path, source("a"))] == [
        ("很好", "positive"),
        ("一般，\n还行", "neutral"),
    ]


def test_a_byte_order_mark_and_gzip_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\ufefftext,label\n好,positive\n".encode()))
    assert [e.text for e in read_examples(path, source("a"))] == ["好"]


def test_rows_without_a_polarity_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "text,label,polarity\n好,happy,positive\n啊,surprise,\n<br>,happy,positive\n",
        encoding="utf-8",
    )
    assert [e.text for e in read_examples(path, source("a"))] == ["好"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the header must name a column text"),
        (b"words,label\n", "line 1: the header must name a column text"),
        (b"text\n\xe5\xa5\xbd\n", "line 1: the header must name a column label"),
        (b"text,label\ngood,positive\nbad,awful\n", "line 3: label 'awful' is not one of positive"),
        (b"text,label\n  ,positive\n", "line 2: the text is blank"),
        (b"text,label\n<br>,positive\n", "line 2: the text is blank"),
        (b"text,label\ngood\n", "line 2: the row has 1 fields and the header 2"),
        (b"text,label\ngood,positive,x\n", "line 2: the row has 3 fields and the header 2"),
        (
            b"text,label\n" + b"good,positive\n" * 9 + b"\xff,positive\n",
            "line 11: the bytes are not",
        ),
        (b'text,label\n"a\nb\nc",awful\n', "line 2: label 'awful'"),
        (b'text,label\ngood,positive\n"open,positive\nx,y\n', "line 3: a quote is not closed"),
    ],
)
def test_a_bad_file_is_refused_by_its_first_bad_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_examples(path, source("a"))


KINDS = [("turn", "很好", "positive"), ("scale", "一般", "neutral|negative")]


def test_a_sentence_of_a_kind_may_have_two_right_labels(tmp_path: Path) -> None:
    write_csv(tmp_path / "kinds.csv", KINDS, ("kind", "text", "label"))
    kinds = config(source("a")).model_copy(update={"kinds": "kinds.csv"})
    turn, scale = load_kinds(kinds, tmp_path)
    assert (turn.kind, turn.text) == ("turn", "很好")
    assert [set(turn.labels), set(scale.labels)] == [{0}, {1, 2}]


def test_kinds_without_their_file_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = config(source("a")).model_copy(update={"kinds": "../kinds.csv"})
    with caplog.at_level("INFO"):
        assert load_kinds(kinds, tmp_path) == []
    assert "kinds.csv does not exist" in caplog.text


@pytest.mark.parametrize(
    ("header", "label", "message"),
    [
        (("kind", "text", "label"), "neutral|fine", "line 2: label 'fine' is not one of"),
        (("type", "text", "label"), "neutral", "line 1: the header must name columns kind and"),
    ],
)
def test_a_bad_file_of_kinds_is_refused(
    tmp_path: Path, header: tuple[str, ...], label: str, message: str
) -> None:
    write_csv(tmp_path / "kinds.csv", [("scale", "一般", label)], header)
    kinds = config(source("a")).model_copy(update={"kinds": "kinds.csv"})
    with pytest.raises(DataError, match=message):
        load_kinds(kinds, tmp_path)


def test_a_sentence_of_a_kind_is_not_trained_on(tmp_path: Path) -> None:
    rows = sentences()
    write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    text, label = rows[0]
    write_csv(tmp_path / "kinds.csv", [("praise", f"{text}！", label)], ("kind", "text", "label"))
    plain = config(source("a"))
    for data, standing in ((plain, True), (plain.model_copy(update={"kinds": "kinds.csv"}), False)):
        splits = load_splits(data, tmp_path)
        assert (text in {row.text for row in [*splits.train, *splits.dev]}) is standing


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.csv does not exist"):
        read_examples(tmp_path / "nothing.csv", source("a"))


def test_keys_ignore_punctuation_space_and_case() -> None:
    assert text_key("很 好，App！") == text_key("很好app")
    assert text_key("很好") != text_key("很坏")


def test_blocklisted_duplicate_and_contradicting_rows_are_left_out(tmp_path: Path) -> None:
    rows = sentences()
    not_dev = [row for row in rows if int(text_digest(row[0]), 16) % 5]
    blocked, twice, contradicted = not_dev[0], not_dev[20], not_dev[40]
    write_csv(tmp_path / "a.csv", [*rows, twice, (contradicted[0], "neutral")], ("text", "label"))
    write_csv(tmp_path / "block.csv", [(text_key(blocked[0]), "x")], ("sha1", "set"))
    splits = load_splits(config(source("a"), blocklist="block.csv"), tmp_path)
    texts = [example.text for example in splits.train]
    assert blocked[0] not in texts
    assert contradicted[0] not in texts
    assert texts.count(twice[0]) == 1
    assert splits.left_out == {
        "blocklisted": 1,
        "in dev": 0,
        "contradicting": 2,
        "duplicate": 1,
    }


def test_blocklisted_rows_are_not_in_dev_either(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", sentences(), ("text", "label"))
    in_dev = next(text for text, _ in sentences() if int(text_digest(text), 16) % 5 == 0)
    write_csv(tmp_path / "block.csv", [(text_key(in_dev), "x")], ("sha1", "set"))
    splits = load_splits(config(source("a"), blocklist="block.csv"), tmp_path)
    assert in_dev not in [example.text for example in (*splits.train, *splits.dev)]


def test_no_test_text_stands_in_train_or_dev(tmp_path: Path) -> None:
    rows = sentences()
    in_dev = [row for row in rows if int(text_digest(row[0]), 16) % 5 == 0][:2]
    write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    write_csv(tmp_path / "test.csv", [*rows[:3], *in_dev], ("text", "label"))
    splits = load_splits(config(source("a", test=["test.csv"])), tmp_path)
    texts = {example.text for example in (*splits.train, *splits.dev)}
    assert not texts & {text for text, _ in (*rows[:3], *in_dev)}
    assert splits.left_out["in test"] == len({*rows[:3], *in_dev})


def test_a_neutral_row_of_a_two_class_set_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("一般", "neutral")], ("text", "label"))
    with pytest.raises(DataError, match="line 2: label 'neutral' is not one of positive, negative"):
        read_examples(path, source("a", two_classes=True))


def test_the_dev_split_is_a_fixed_share_that_training_never_sees(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", sentences(), ("text", "label"))
    write_csv(tmp_path / "b.csv", sentences(), ("text", "label"))
    dev_of_b = [row for row in sentences() if int(text_digest(row[0]), 16) % 5][:3]
    write_csv(tmp_path / "dev.csv", dev_of_b, ("text", "label"))
    splits = load_splits(config(source("a"), source("b", dev=["dev.csv"])), tmp_path)
    train = {text_key(example.text) for example in splits.train}
    dev = {text_key(example.text) for example in splits.dev}
    assert not train & dev
    assert {e.text for e in splits.dev if e.source == "b"} == {text for text, _ in dev_of_b}
    assert all(int(text_digest(e.text), 16) % 5 == 0 for e in splits.dev if e.source == "a")


def test_a_sample_of_a_source_is_a_fixed_share(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", sentences(), ("text", "label"))
    first = load_splits(config(source("a", sample=0.5)), tmp_path)
    assert 70 < len(first.train) + len(first.dev) < 146
    assert first == load_splits(config(source("a", sample=0.5)), tmp_path)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [("很好", "positive")], ("text", "label"))
    with pytest.raises(DataError, match="give more rows"):
        load_splits(config(source("a")), tmp_path)


def test_batches_hold_every_sequence_once_and_near_lengths() -> None:
    lengths = np.random.default_rng(1).integers(1, 200, 5000).tolist()
    batches = near_length_batches(lengths, np.random.default_rng(2), size=32)
    assert sorted(index for batch in batches for index in batch) == list(range(5000))
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    assert padded < 1.1 * sum(lengths)


def test_batches_by_tokens_stay_below_the_bound() -> None:
    lengths = np.random.default_rng(1).integers(1, 96, 5000).tolist()
    for batch in near_length_batches(lengths, np.random.default_rng(2), size=64, tokens=2048):
        assert max(lengths[i] for i in batch) * len(batch) <= 2048


def test_no_test_or_dev_text_of_the_corpora_stands_in_the_training_rows(corpora: Path) -> None:
    loaded = load_config("zh-general").data
    splits = load_splits(loaded, corpora)
    blocklist = load_blocklist(loaded, corpora)
    train = {text_key(example.text) for example in splits.train}
    assert len(train) == len(splits.train) > 150_000
    assert not train & blocklist
    assert not train & {text_key(example.text) for example in splits.dev}
    assert {example.source for example in splits.dev} == {s.name for s in loaded.sources}


def test_unlabelled_texts_come_once_and_without_blocklisted_ones(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [("甲", ""), ("乙", ""), ("甲！", "")], ("text", "label"))
    assert list(
        load_unlabelled(
            [UnlabelledConfig(name="a", files=("a.csv",))], tmp_path, frozenset([text_key("乙")])
        )
    ) == ["甲"]


def test_a_column_names_the_group_and_labels_have_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "text,label,polarity,domain\n好坏参半,mixed,neutral,film\n好,positive,positive,shop\n",
        encoding="utf-8",
    )
    weighed = source("a", group_column="domain", label_weights={"mixed": 0.5})
    assert [(e.group, e.weight) for e in read_examples(path, weighed)] == [
        ("film", 0.5),
        ("shop", 1.0),
    ]
    with pytest.raises(DataError, match="line 1: the header must name a column kind"):
        read_examples(path, source("a", group_column="kind"))


def test_rows_are_marked_as_drawn_as_users_texts_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,draw\n好,positive,random\n差,negative,unsure\n", encoding="utf-8")
    drawn = source("a", calibrate_on={"draw": "random"})
    assert [e.calibrates for e in read_examples(path, drawn)] == [True, False]
    assert [e.calibrates for e in read_examples(path, source("a"))] == [True, True]
    with pytest.raises(DataError, match="line 1: the header must name a column kind"):
        read_examples(path, source("a", calibrate_on={"kind": "random"}))


def test_twins_stay_on_one_side_of_the_split(tmp_path: Path) -> None:
    rows = [
        (f"第{number}次来这家店，{end}", label)
        for number in range(1000, 1200)
        for end, label in (("很好", "positive"), ("很差", "negative"))
    ]
    write_csv(tmp_path / "a.csv", rows, ("text", "label"))
    sides = {}
    for twins in (False, True):
        splits = load_splits(config(source("a", twins=twins)), tmp_path)
        beginnings = [{e.text[:6] for e in side} for side in (splits.train, splits.dev)]
        sides[twins] = beginnings[0] & beginnings[1]
        assert 0.1 < len(splits.dev) / len(rows) < 0.3
    assert sides[False]
    assert not sides[True]
