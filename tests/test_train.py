"""Training: what it learns, what it leaves behind, and that an interruption changes nothing."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from model import artifact as artifacts
from model.classifier import Classifier
from model.config import (
    LABELS,
    NEUTRAL,
    DataConfig,
    FinetuneConfig,
    NetworkConfig,
    RunConfig,
    SourceConfig,
    load_config,
)
from model.corpora import Example
from model.errors import ConfigError, DataError
from model.network import SentimentNetwork
from model.progress import Progress
from model.training import finetune as finetuning
from model.training import fitting, optimization, preparation
from model.training.calibration import calibrate, fit_temperature
from model.training.finetune import dev_scores, smoothed_loss
from model.training.preparation import prepare
from model.training.rows import Rows
from model.training.run import train
from model.training.templates import TEMPLATE_SOURCE
from service.commands import main
from tests.support.artifacts import small_config
from tests.support.texts import sentences, write_csv


def test_the_tiny_model_has_learnt_its_sentences(tiny_classifier: Classifier) -> None:
    texts, labels = zip(*sentences(), strict=True)
    predictions = list(tiny_classifier.predict(texts))
    right = sum(p.label == label for p, label in zip(predictions, labels, strict=True))
    assert right / len(texts) > 0.95


def test_a_run_leaves_curves_and_history(tiny_artifact: Path) -> None:
    run = tiny_artifact.parent / "run"
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert '"dev"' in (run / "history.json").read_text()


def test_an_interrupted_run_resumes_and_ends_with_the_same_weights(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "CHECKPOINT_STEPS", 3)
    config = small_config(corpus)
    whole = train(config, corpus.parent, tmp_path / "whole", tmp_path / "a")

    step = Progress.step
    interruptions = {"pre-training": 7, "fine-tuning": 19}

    def interrupted_step(self: Progress, count: int = 1, **figures: float) -> None:
        step(self, count, **figures)
        if self._done == interruptions.get(self._description):
            del interruptions[self._description]
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "step", interrupted_step)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(config, corpus.parent, tmp_path / "cut", tmp_path / "b")
    resumed = train(config, corpus.parent, tmp_path / "cut", tmp_path / "b")

    assert not interruptions
    assert whole.manifest == resumed.manifest
    for name, tensor in whole.weights.items():
        np.testing.assert_array_equal(tensor, resumed.weights[name], err_msg=name)


CPU = torch.device("cpu")


class SeenEnoughError(Exception):
    """Ends a run after what a test looks at."""


def stop(*_: object) -> None:
    raise SeenEnoughError


def test_the_best_epoch_is_kept_not_the_last(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.9, 0.1, 0.0])
    kept: list[Path] = []
    monkeypatch.setattr(finetuning, "dev_scores", lambda *_: {"mean": {"score": next(scores)}})
    monkeypatch.setattr(finetuning, "save_weights", lambda path, _: kept.append(path))
    monkeypatch.setattr(fitting, "load_file", stop)
    with pytest.raises(SeenEnoughError):
        train(small_config(corpus), corpus.parent, tmp_path / "run", tmp_path / "artifact")
    assert [path.name for path in kept] == ["best.safetensors"]


def test_other_fine_tuning_settings_restart_it_after_the_same_pre_training(
    corpus: Path, tmp_path: Path
) -> None:
    config = small_config(corpus)
    run = tmp_path / "run"
    train(config, corpus.parent, run, tmp_path / "first")
    pretrained = (run / "pretrain.checkpoint").read_bytes()
    changed = config.model_copy(update={"finetune": FinetuneConfig(epochs=1, batch_size=16)})
    again = train(changed, corpus.parent, run, tmp_path / "second")
    assert (run / "pretrain.checkpoint").read_bytes() == pretrained
    alone = train(changed, corpus.parent, tmp_path / "alone", tmp_path / "third")
    for name, tensor in alone.weights.items():
        np.testing.assert_array_equal(tensor, again.weights[name], err_msg=name)


def test_another_seed_fine_tunes_again_after_the_same_pre_training(
    corpus: Path, tmp_path: Path
) -> None:
    config = small_config(corpus)
    first = train(config, corpus.parent, tmp_path / "run", tmp_path / "first")
    pretrained = (tmp_path / "run" / "pretrain.checkpoint").read_bytes()
    reseeded = config.finetune.model_copy(update={"seed": 18})
    config = config.model_copy(update={"finetune": reseeded})
    second = train(config, corpus.parent, tmp_path / "run", tmp_path / "second")
    assert (tmp_path / "run" / "pretrain.checkpoint").read_bytes() == pretrained
    assert first.vocabulary.words == second.vocabulary.words
    assert not np.array_equal(first.weights["output.weight"], second.weights["output.weight"])
    assert "seed 18" in second.card


@pytest.mark.parametrize("setting", ["leave_out", "choose_by"])
def test_a_setting_that_names_an_unknown_set_is_refused(
    corpus: Path, tmp_path: Path, setting: str
) -> None:
    finetune = FinetuneConfig.model_validate({setting: ["reviews", "review"]})
    config = small_config(corpus).model_copy(update={"finetune": finetune})
    with pytest.raises(ConfigError, match=f"{setting} names the set review; known are reviews"):
        prepare(config, corpus.parent, tmp_path)


def test_distillation_from_an_unknown_set_is_refused(corpus: Path, tmp_path: Path) -> None:
    teacher = {"name": "wise", "directory": "x", "sources": ["curated", "review"]}
    for distil in ({"sources": ["review"]}, {"teachers": [teacher]}):
        config = RunConfig.model_validate(small_config(corpus).model_dump() | {"distil": distil})
        with pytest.raises(ConfigError, match="names the set review; known are curated, reviews"):
            prepare(config, corpus.parent, tmp_path)


def test_the_model_that_ships_names_known_sets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the blocklist"):  # it is read after names are checked
        prepare(load_config("zh-general"), tmp_path, tmp_path)


def test_a_set_left_out_is_not_fine_tuned_on(corpus: Path, tmp_path: Path) -> None:
    more = [(f"{text}喵", label) for text, label in sentences()]
    write_csv(tmp_path / "more.csv", more, ("text", "label"))
    shutil.copy(corpus, tmp_path)
    sources = (
        SourceConfig(name="reviews", train=(corpus.name,)),
        SourceConfig(name="more", train=("more.csv",)),
    )
    config = small_config(corpus).model_copy(
        update={
            "data": DataConfig(sources=sources, dev_modulus=10),
            "finetune": FinetuneConfig(epochs=1, leave_out=("more",)),
        }
    )
    card = train(config, tmp_path, tmp_path / "run", tmp_path / "artifact").card
    assert "| more | 0 (0, 0, 0) |" in card
    assert "| reviews | 0 " not in card


def test_synthetic_sentences_are_fine_tuned_on_if_the_configuration_says_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [Example("没有不满意的地方", 0, TEMPLATE_SOURCE)] * 3
    monkeypatch.setattr(preparation, "template_sentences", lambda _: own)
    config = small_config(corpus)
    finetune = FinetuneConfig(epochs=1, templates=1.0)
    config = config.model_copy(update={"finetune": finetune})
    artifact = train(config, corpus.parent, tmp_path / "run", tmp_path / "artifact")
    assert f"| {TEMPLATE_SOURCE} | 3 (3, 0, 0) | 0 |" in artifact.card


def test_training_starts_from_an_artifact(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few rows of another topic are learnt, neutral stays where they have none."""
    monkeypatch.chdir(tmp_path)
    start = artifacts.load(tiny_artifact)
    rows = [(f"{word}{text}", label) for text, label in sentences() for word in ("今天", "昨天")]
    two_classes = [row for row in rows if row[1] != "neutral"]
    path = write_csv(tmp_path / "mine.csv", two_classes, ("text", "label"))
    arguments = ["train", str(path), "--from", str(tiny_artifact)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    classifier = Classifier.load(tmp_path / "runs" / "adapted" / "artifact")
    assert classifier.artifact.vocabulary.words == start.vocabulary.words
    assert classifier.artifact.stopwords == start.stopwords
    assert f"started from {start.manifest.name}" in classifier.artifact.card
    texts, labels = zip(*sentences(), strict=True)
    predictions = list(classifier.predict(texts))
    right = [p.label == label for p, label in zip(predictions, labels, strict=True)]
    assert sum(right) / len(right) > 0.95


def test_a_run_on_other_data_is_refused(corpus: Path, tmp_path: Path) -> None:
    config = small_config(corpus)
    train(config, corpus.parent, tmp_path / "run", tmp_path / "artifact")
    opposite = {"positive": "negative", "negative": "positive", "neutral": "neutral"}
    other = [(text, opposite[label]) for text, label in sentences()]
    (tmp_path / "data").mkdir()
    write_csv(tmp_path / "data" / corpus.name, other, ("text", "label"))
    with pytest.raises(ConfigError, match="of other data"):
        train(config, tmp_path / "data", tmp_path / "run", tmp_path / "artifact")


def test_two_class_rows_teach_nothing_about_neutral(tmp_path: Path) -> None:
    """Words that only two-class rows have stay as neutral as they were."""
    three = [row for row in sentences() if "房间" not in row[0]]
    two = [(f"{text}喵", label) for text, label in three if label != "neutral"]
    write_csv(tmp_path / "three.csv", three, ("text", "label"))
    write_csv(tmp_path / "two.csv", two, ("text", "label"))
    answers = {}
    for two_classes in (True, False):
        sources = (
            SourceConfig(name="three", train=("three.csv",)),
            SourceConfig(name="two", train=("two.csv",), two_classes=two_classes),
        )
        whole = load_config("csv", DataConfig(sources=sources, dev_modulus=10))
        config = whole.model_copy(update={"finetune": FinetuneConfig(epochs=4, batch_size=32)})
        directory = tmp_path / str(two_classes)
        train(config, tmp_path, directory / "run", directory / "artifact")
        prediction = next(Classifier.load(directory / "artifact").predict(["电影在三楼喵"]))
        answers[two_classes] = prediction.probabilities[NEUTRAL]
    assert answers[True] > answers[False]


def test_a_run_directory_of_another_configuration_is_refused(
    corpus: Path, tiny_artifact: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_artifact.parent / "run", run)
    with pytest.raises(ConfigError, match="another configuration"):
        train(small_config(corpus), corpus.parent, run, tmp_path / "artifact")


def test_a_masked_neutral_logit_gets_no_gradient() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    allowed = torch.ones(2, 3, dtype=torch.bool)
    allowed[0, NEUTRAL] = False
    smoothed_loss(logits, torch.tensor([0, 0]), allowed, 0.1).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, NEUTRAL] == 0
    assert logits.grad[1, NEUTRAL] > 0


def test_the_loss_without_smoothing_and_mask_is_cross_entropy() -> None:
    torch.manual_seed(1)
    logits, labels = torch.randn(8, 3), torch.randint(3, (8,))
    loss = smoothed_loss(logits, labels, torch.ones(8, 3, dtype=torch.bool), 0.0)
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss, expected)


def test_the_temperature_undoes_overconfidence() -> None:
    generator = np.random.default_rng(1)
    honest = generator.normal(size=(4000, 3)).astype(np.float32) * 2
    probabilities = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    examples = [
        Example("", int(generator.choice(len(LABELS), p=row)), "a") for row in probabilities
    ]
    source = SourceConfig(name="a", train=())
    assert fit_temperature(honest * 3, examples, {"a": source}) == pytest.approx(3, rel=0.1)


def test_only_rows_drawn_as_users_texts_are_choose_and_all_are_scored() -> None:
    sources = {name: SourceConfig(name=name, train=()) for name in "ab"}
    examples = [
        Example("", 0, "a"), Example("", 1, "a"), Example("", 2, "a", calibrates=False),
        Example("", 0, "b"),
    ]  # fmt: skip
    answers = np.eye(3)[[0, 1, 0, 1]]  # wrong where the text was not drawn at random, and for b
    scores = dev_scores(answers, examples, sources, ["a"])
    assert scores["a"]["accuracy"] == pytest.approx(2 / 3)
    assert scores["mean"]["score"] == 1
    assert dev_scores(answers, examples, sources)["mean"]["score"] == 0.5


class FixedNetwork(SentimentNetwork):
    """Answers each text with the logits that its first id names."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__(2, len(LABELS), NetworkConfig(embedding_size=1, hidden_size=1))
        self.logits = logits

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.logits[ids[:, 0]]


def test_the_calibration_is_fitted_on_rows_drawn_as_users_texts_are() -> None:
    """Rows drawn otherwise, on which the network errs more often, change the scores alone."""
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(400, 3)).astype(np.float32) * 4
    labels = logits.argmax(axis=1)
    labels[:40] = (labels[:40] + 1) % 3  # one in ten is wrong; of the others, all
    rows = [Example("", int(label), "a") for label in labels]
    hard = [replace(row, label=(row.label + 1) % 3, calibrates=False) for row in rows]
    network = FixedNetwork(torch.from_numpy(logits))
    sources = {"a": SourceConfig(name="a", train=())}
    ids = [np.array([index], dtype=np.int32) for index in range(400)]
    drawn, both = (
        calibrate(network, Rows(examples, ids * times, sources), FinetuneConfig(), CPU)
        for examples, times in ((rows, 1), (rows + hard, 2))
    )
    assert both.temperature == drawn.temperature
    assert both.uncertain_below == drawn.uncertain_below
    assert both.certain_share == drawn.certain_share
    assert both.scores["mean"] == drawn.scores["mean"]
    assert both.scores["a"]["accuracy"] < drawn.scores["a"]["accuracy"] == 0.9
    assert len(both.probabilities) == 800


@pytest.mark.parametrize(
    ("texts", "start", "temperature", "bound"),
    [
        (10, False, 1.0, 1.0),  # ten that are all right do not prove 95 in 100
        (100, False, 1.0, 0.9),
        (100, True, 1.3, 0.7),
        (400, True, 0.1, 0.9),  # so many are fitted, whatever the run started from
    ],
)
def test_few_dev_texts_that_are_all_right_make_no_answer_sure(
    texts: int, start: bool, temperature: float, bound: float, tiny_artifact: Path
) -> None:
    logits = torch.tensor([[3.0, 0.0, 0.0]]).repeat(texts, 1)  # 0.91 of positive
    ids = [np.array([index], dtype=np.int32) for index in range(texts)]
    rows = Rows([Example("", 0, "a")] * texts, ids, {"a": SourceConfig(name="a", train=())})
    manifest = artifacts.load(tiny_artifact).manifest
    manifest = manifest.model_copy(update={"temperature": 1.3, "uncertain_below": 0.7})
    found = calibrate(
        FixedNetwork(logits), rows, FinetuneConfig(), CPU, manifest if start else None
    )
    assert found.temperature == temperature
    assert found.uncertain_below == pytest.approx(bound, abs=0.11)
    assert (found.texts, found.kept) == (texts, start and texts < 200)
    assert found.scores["a"] == {"accuracy": 1.0, "macro_f1": 1.0, "texts": texts}


def test_the_command_trains_on_a_csv_file(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fast.toml").write_text(
        'name = "mine"\nversion = "1.2.3"\n[vocabulary]\nminimum_count = 1\n'
        "[network]\nembedding_size = 8\nhidden_size = 8\n[finetune]\nepochs = 1\n"
    )
    result = CliRunner().invoke(main, ["train", str(corpus), "--config", "fast.toml"])
    assert result.exit_code == 0, result.output
    artifact = artifacts.load(tmp_path / "runs" / "mine" / "artifact")
    assert (artifact.manifest.name, artifact.manifest.version) == ("mine", "1.2.3")
    assert "your own file" in artifact.card


def test_the_command_names_all_labels_that_it_does_not_know(tmp_path: Path) -> None:
    rows = [("很好", "positive"), ("很差", "awful"), ("一般", "worse")]
    path = write_csv(tmp_path / "mine.csv", rows, ("text", "label"))
    result = CliRunner().invoke(main, ["train", str(path), "--run", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "awful (1), worse (1)" in result.output
    assert "Traceback" not in result.output
