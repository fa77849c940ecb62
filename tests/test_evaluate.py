"""Evaluation: the tables, the pictures and the card of a small model beside its peers."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from model import artifact as artifacts
from model.card import write_evaluation
from model.classifier import Classifier
from model.config import DataConfig, RunConfig, SourceConfig, load_config
from model.data import load_splits
from model.evaluate import Evaluation, evaluate
from model.figures import draw_confusion, draw_lengths, draw_reliability
from model.peers import PEERS, FastText, Linear, SnowNlp
from service.cli import main
from tests.conftest import SHIPPED, sentences, write_csv

needs_peers = pytest.mark.skipif(
    not importlib.util.find_spec("fasttext") or not importlib.util.find_spec("snownlp"),
    reason="fastText and SnowNLP are not installed: make .venv/peers.installed",
)


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> RunConfig:
    """Two test splits, one of them without neutral and with a text that begins as a train row."""
    three = [(f"今天{text}", label) for text, label in sentences()]
    two = [row for row in three if row[1] != "neutral"]
    two[0] = ("零一二三四五六七八九十零一二三四五六七八九。", "positive")
    train = [*sentences(), ("零一二三四五六七八九十，零一二三四五六七八九十", "positive")]
    write_csv(tmp_path / "three.csv", three, ("text", "label"))
    write_csv(tmp_path / "two.csv", two, ("text", "label"))
    write_csv(tmp_path / corpus.name, train, ("text", "label"))
    sources = (
        SourceConfig(name="three", train=(corpus.name,), test=("three.csv",)),
        SourceConfig(
            name="two", train=(), test=("two.csv",), two_classes=True, published="BERT 99.9"
        ),
    )
    return load_config("csv", DataConfig(sources=sources, dev_modulus=10))


@pytest.fixture
def evaluation(config: RunConfig, tiny_artifact: Path, tmp_path: Path) -> Evaluation:
    return evaluate(config, tmp_path, tiny_artifact, seeds=[tiny_artifact])


def test_the_tables_have_a_row_for_each_test_split(evaluation: Evaluation) -> None:
    header, _, three, two = evaluation.comparison().splitlines()
    assert header == ("| test split | texts | measure | ours | ours, 2 seeds | published |")
    assert three.startswith("| three | 216 | macro-F1 | ")
    assert "± 0.0" in three
    assert two.startswith("| two | 144 | accuracy | ")
    assert two.endswith("| BERT 99.9 |")
    details = evaluation.details().splitlines()
    assert len(details) == 4
    assert details[3].endswith(f"| {100 / 144:.1f} |")  # the one near-duplicate


def test_the_confidence_against_two_classes_leaves_neutral_aside(evaluation: Evaluation) -> None:
    two = evaluation.splits[1]
    confidences, right = two.decided()
    positive, _, negative = two.shipped.T
    np.testing.assert_allclose(confidences, np.maximum(positive, negative) / (positive + negative))
    assert right.mean() == two.scored(two.shipped)["accuracy"]


def test_the_pictures_are_drawn(evaluation: Evaluation, tmp_path: Path) -> None:
    for draw in (draw_confusion, draw_lengths, draw_reliability):
        draw(evaluation.splits, tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_card_takes_the_figures_and_may_take_newer_ones(
    evaluation: Evaluation, tiny_artifact: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(tiny_artifact, tmp_path / "copy"))
    before = artifacts.load(copy)
    for _ in range(2):
        write_evaluation(copy, evaluation)
        after = artifacts.load(copy)
        assert after.card.count(evaluation.comparison()) == 1
        assert "Not measured yet" in before.card
        assert "Not measured yet" not in after.card
        assert after.card.split("## Training data")[1] == before.card.split("## Training data")[1]
        assert after.figures["reliability.png"].startswith(b"\x89PNG")
    texts = ["房间很好", "电影在三楼"]
    first, second = (Classifier(a, Classifier.load(copy)._engine) for a in (before, after))
    assert list(first.predict(texts)) == list(second.predict(texts))


def test_the_linear_model_learns_what_it_is_given(config: RunConfig, tmp_path: Path) -> None:
    rows = load_splits(config.data, tmp_path).train
    texts, labels = zip(*sentences(), strict=True)
    answers = Linear(config, rows).decide(texts).argmax(axis=1)
    expected = [["positive", "neutral", "negative"].index(label) for label in labels]
    assert (answers == expected).mean() > 0.95


@needs_peers
def test_peers_give_a_score_a_label(config: RunConfig, tmp_path: Path) -> None:
    rows = load_splits(config.data, tmp_path).train
    texts = ["房间很好", "电影在三楼", "", "。。。"]
    for peer in PEERS:
        assert peer(config, rows).decide(texts).shape == (4, 3)
    fast = FastText(config, rows).decide(["房间很好"])
    assert fast.sum() == pytest.approx(1, abs=0.01)
    good, bad = SnowNlp(config, rows).decide(["非常好，很满意，推荐", "太差了，退货"])
    assert good.argmax() == 0
    assert bad.argmax() == 2


@needs_peers
def test_the_command_measures_the_model_that_ships_beside_its_peers(
    corpora: Path, tmp_path: Path
) -> None:
    """The real way on one real test split."""
    jd = next(s for s in load_config("zh-general").data.sources if s.name == "jd_laptop_clauses")
    path = tmp_path / "jd.toml"
    path.write_text(
        f'name = "jd"\nversion = "1.0.0"\n[[data.sources]]\nname = "{jd.name}"\n'
        f"train = {list(jd.train)}\ntest = {list(jd.test)}\n".replace("'", '"'),
        encoding="utf-8",
    )
    arguments = ["evaluate", "--config", str(path), "--model", str(SHIPPED), "--peers"]
    arguments += ["--figures", str(tmp_path / "figures")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    header, _, row = result.output[result.output.index("| test split") :].splitlines()[:3]
    assert header.endswith("| ours | linear | fastText | SnowNLP | published |")
    ours, linear, fast, snow = (float(cell) for cell in row.split("|")[4:8])
    assert min(ours, linear, fast) > 60
    assert ours > snow
    assert len(list((tmp_path / "figures").glob("*.png"))) == 3


def test_the_official_protocol_keeps_every_row(corpora: Path) -> None:
    splits = load_splits(load_config("chnsenticorp-official").data, corpora)
    assert (len(splits.train), len(splits.dev)) == (9600, 1200)
