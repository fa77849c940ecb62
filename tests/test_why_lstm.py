"""docs/why-lstm.md and the script that measures for it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.why_lstm import accuracy, gates, gradient, networks, plots
from bench.why_lstm.gates import GateValues
from bench.why_lstm.networks import (
    FORMS,
    LAST_STATE,
    LSTM,
    READ_OUTS,
    RNN,
    WIDE,
    Rows,
    VariantNetwork,
)
from model import artifact as artifacts
from model.artifact import Artifact
from model.config import LABELS, DataConfig, NetworkConfig, SourceConfig
from model.corpora import Example, load_splits
from model.network import SentimentNetwork
from model.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from model.training.optimization import pad_tensors
from tests.support.repository import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def artifact(tiny_artifact: Path) -> Artifact:
    return artifacts.load(tiny_artifact)


@pytest.fixture(scope="module")
def data(corpus: Path) -> DataConfig:
    return DataConfig(sources=(SourceConfig(name="reviews", train=(corpus.name,)),), dev_modulus=10)


@pytest.fixture(scope="module")
def rows(artifact: Artifact, data: DataConfig, corpus: Path) -> tuple[Rows, Rows]:
    splits = load_splits(data, corpus.parent)
    train, dev = (Rows.encoded(part, artifact.encoder()) for part in (splits.train, splits.dev))
    return train, dev


def test_the_page_has_every_figure_and_block_that_the_script_writes() -> None:
    page = (DOCS / "why-lstm.md").read_text(encoding="utf-8")
    figures = re.findall(r"\]\((figures/[^)]+)\)", page)
    assert len(figures) == 4
    for figure in figures:
        assert "</svg>" in (DOCS / figure).read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- ([a-z]+):begin -->\n\S.*?<!-- \1:end -->", page, re.DOTALL)
    assert sorted(blocks) == ["accuracy", "contrast", "gates", "gradient", "setting", "words"]


def test_every_network_learns_and_is_measured(
    rows: tuple[Rows, Rows],
    data: DataConfig,
    artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accuracy, "MIN_BUCKET_TEXTS", 10)
    monkeypatch.setattr(gradient, "GRADIENT_WORDS", 3)
    monkeypatch.setattr(gradient, "DISTANCES", (1, 2))
    train, dev = rows
    config = networks.run_config(size=8).model_copy(update={"data": data})
    words = len(artifact.encoder().vocabulary)
    trained = networks.train_all(config, words, train, dev, tmp_path, (1, 2))
    answers = accuracy.predict_all(trained, {"reviews": train, "three classes": train})
    assert f"{len(train.ids)} rows" in accuracy.setting_report(config, trained, train, {})
    table = accuracy.accuracy_report(answers, trained)
    for cell, read_out in FORMS:
        assert f"| {READ_OUTS[read_out]} | {cell} |" in table
    plots.draw_accuracy(answers, tmp_path / "accuracy.svg")
    shipped = SentimentNetwork(words, len(LABELS), config.network)
    shares = gradient.gradient_shares(trained, shipped, words, config, train)
    assert len(shares) == 5
    assert all(len(of_texts[0]) == 3 for of_texts in shares.values())
    assert "| LSTM, trained |" in gradient.gradient_report(shares)
    plots.draw_gradient(shares, tmp_path / "gradient.svg")
    assert len(list(tmp_path.glob("*.svg"))) == 2


def test_the_wide_rnn_has_the_weights_of_the_lstm() -> None:
    lstm, wide = (
        networks.recurrent_weights(
            VariantNetwork(
                3,
                NetworkConfig(embedding_size=128, hidden_size=networks.hidden_size(cell, 128)),
                cell,
                LAST_STATE,
            )
        )
        for cell in (LSTM, WIDE)
    )
    assert wide == pytest.approx(lstm, rel=0.01)


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("cell", [LSTM, RNN])
def test_padding_reaches_no_answer(cell: str, read_out: str) -> None:
    torch.manual_seed(0)
    network = VariantNetwork(
        9, NetworkConfig(embedding_size=4, hidden_size=4), cell, read_out
    ).eval()
    texts = [np.array([2, 3], dtype=np.int32), np.array([4, 5, 6, 7, 8], dtype=np.int32)]
    together = network(*pad_tensors(texts, torch.device("cpu")))
    for text, logits in zip(texts, together, strict=True):
        alone = network(*pad_tensors([text], torch.device("cpu")))[0]
        torch.testing.assert_close(alone, logits)


def test_the_gradient_of_a_single_weight_is_its_power() -> None:
    network = VariantNetwork(3, NetworkConfig(embedding_size=1, hidden_size=1), RNN, LAST_STATE)
    # Weights so small that tanh is a straight line, and no biases.
    values = {"weight_ih_l0": 1e-9, "weight_hh_l0": 0.5}
    with torch.no_grad():
        for name, parameter in network.reader.forward_lstm.named_parameters():
            parameter.fill_(values.get(name, 0.0))
    shares = gradient.gradient_norms(network, torch.full((2, 60), 2))
    np.testing.assert_allclose(shares, np.tile(0.5 ** np.arange(60), (2, 1)), rtol=1e-6)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_gates_give_the_states_of_the_network(artifact: Artifact, direction: str) -> None:
    network = SentimentNetwork(
        len(artifact.vocabulary), len(LABELS), artifact.manifest.network
    ).eval()
    network.load_state_dict({n: torch.from_numpy(w).float() for n, w in artifact.weights.items()})
    ids, lengths = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]), torch.tensor([4, 2])
    with torch.inference_mode():
        expected = network.reader(ids, lengths)[direction == "backward"]
        activations, states = gates.gates(artifact.weights, direction, ids, lengths)
    real = (ids > 0)[:, :, None]
    torch.testing.assert_close(states * real, expected * real)
    assert ((activations > 0) & (activations < 1)).all()


def test_the_gates_of_a_text_do_not_depend_on_its_company(
    artifact: Artifact, rows: tuple[Rows, Rows]
) -> None:
    train, _ = rows
    for direction in ("forward", "backward"):
        together = GateValues.all(artifact.weights, train.ids, direction)
        alone = GateValues.all(artifact.weights, train.ids[:1], direction)
        assert len(together.values) == train.lengths.sum()
        np.testing.assert_allclose(together.values[: train.lengths[0]], alone.values, atol=1e-6)
        assert together.forget.mean() == pytest.approx(together.values[:, 1].mean(), abs=1e-4)


def test_words_around_a_word_are_of_the_same_text() -> None:
    values = np.arange(6, dtype=np.float32)[:, None]
    read = GateValues(
        np.array([7, 2, 7, 7, 3, 7]), np.array([0, 0, 0, 1, 1, 1]), values, values[:0, 0]
    )
    assert read.around(7, 0)[:, 0].tolist() == [0, 2, 3, 5]
    assert read.around(7, 1)[:, 0].tolist() == [1, 4]
    assert read.around(7, -1)[:, 0].tolist() == [1, 4]


def test_sentiment_words_owe_nothing_to_the_set_that_they_stand_in() -> None:
    vocabulary = Vocabulary([PADDING, UNKNOWN, "好", "差", "房间", "手机"])
    positive, negative = LABELS.index("positive"), LABELS.index("negative")
    # Rooms are mostly praised and phones mostly blamed, whatever the text says of them.
    texts = [
        *[("rooms", positive, [2, 4])] * 8, *[("rooms", negative, [3, 4])] * 2,
        *[("phones", positive, [2, 5])] * 2, *[("phones", negative, [3, 5])] * 8,
    ]  # fmt: skip
    rows = Rows(
        [Example("", label, source) for source, label, _ in texts],
        [np.array(ids, dtype=np.int32) for _, _, ids in texts],
    )
    assert gates.sentiment_words(rows, vocabulary, [], 1) == (["好"], ["差"])
    assert gates.sentiment_words(rows, vocabulary, ["好"], 1)[0] != ["好"]


def test_words_as_frequent_are_the_next_ones_down() -> None:
    vocabulary = Vocabulary([PADDING, UNKNOWN, "好", "差", "房间", "手机", "的"])
    counts = np.array([0, 9, 5, 3, 4, 2, 5])
    assert gates.as_frequent(["好", "差"], counts, vocabulary, ["的"]) == ["房间", "手机"]


def test_blocks_of_the_gates_are_written_and_drawn(
    artifact: Artifact, rows: tuple[Rows, Rows], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, _ = rows
    vocabulary = artifact.vocabulary
    marks = {"味道": ("a taste", "red"), "屏幕": ("a screen", "blue")}
    for module in (gates, plots):
        monkeypatch.setattr(module, "MARKS", marks)
    texts = [np.concatenate(train.ids[:100])]
    read = {name: GateValues.all(artifact.weights, texts, name) for name in ("forward", "backward")}
    classes = gates.word_classes(read["forward"].ids, vocabulary, {"taste": ["味道"]})
    assert classes["taste"].sum() + classes["any other"].sum() == classes["all"].sum()
    assert "| taste |" in gates.gate_report(classes, read)
    assert "of 128 backwards" in gates.memory_report(read)
    assert "| a taste | backwards |" in gates.contrast_report(read, vocabulary)
    plots.draw_gates(classes, read, tmp_path / "gates.svg")
    plots.draw_contrast(read, vocabulary, tmp_path / "contrast.svg")
    assert len(list(tmp_path.glob("*.svg"))) == 2
