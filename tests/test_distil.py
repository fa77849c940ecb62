"""Distillation: teachers in Hugging Face's form, soft labels, and what learns from both."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from model.config import LABELS, DistilConfig, RunConfig, SourceConfig, TeacherConfig
from model.corpora import Example
from model.engines import Logits
from model.errors import ConfigError
from model.progress import Progress
from model.training import optimization
from model.training.distil import (
    cached_logits,
    load_teacher,
    mask_pieces,
    soft_labels,
    teach,
)
from model.training.finetune import distilled_loss, smoothed_loss
from model.training.run import train
from tests.support.artifacts import small_config
from tests.support.texts import sentences

SOURCES = {"reviews": SourceConfig(name="reviews", train=())}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny encoder of characters, of random weights."""
    directory = tmp_path_factory.mktemp("encoder")
    characters = sorted({character for text, _ in sentences() for character in text})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    tokenizer = Tokenizer(
        models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(directory)
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(pieces),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
    ).save_pretrained(directory)
    return directory


def settings(encoder: Path, **others: object) -> TeacherConfig:
    return TeacherConfig.model_validate(
        {
            "name": "tiny",
            "directory": str(encoder),
            "epochs": 12,
            "longest": 48,
            "batch_size": 8,
            "learning_rate": 2e-3,
            **others,
        }
    )


def rows() -> list[Example]:
    return [Example(text, LABELS.index(label), "reviews") for text, label in sentences()]


def test_a_teacher_learns_its_rows_and_is_loaded_as_it_was(encoder: Path, tmp_path: Path) -> None:
    texts = [row.text for row in rows()]
    taught = teach(settings(encoder), rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    logits = taught.logits(texts)
    right = (logits.argmax(axis=1) == [row.label for row in rows()]).mean()
    assert right > 0.9
    loaded = load_teacher(tmp_path / "teachers" / "tiny")
    np.testing.assert_allclose(loaded.logits(texts), logits, atol=1e-5)


def test_an_interrupted_teacher_resumes_to_the_same_weights(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "CHECKPOINT_STEPS", 2)
    short = settings(encoder, epochs=1)
    whole = teach(short, rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path / "whole")

    step = Progress.step

    def stop_after_five(self: Progress, count: int = 1, **figures: float) -> None:
        step(self, count, **figures)
        if self._done == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "step", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        teach(short, rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path / "cut")
    monkeypatch.setattr(Progress, "step", step)
    assert (tmp_path / "cut/teachers/tiny/finetune.checkpoint").exists()
    resumed = teach(short, rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path / "cut")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, msg=name)


def test_frozen_layers_and_embeddings_keep_their_weights(encoder: Path, tmp_path: Path) -> None:
    before = BertModel.from_pretrained(encoder).state_dict()
    taught = teach(
        settings(encoder, epochs=1, frozen_layers=1), rows(), [], SOURCES, seed=1, device=CPU,
        run=tmp_path,
    )  # fmt: skip
    after = taught.encoder.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)


def test_adaptation_changes_the_encoder_before_it_is_taught(encoder: Path, tmp_path: Path) -> None:
    texts = [row.text for row in rows()]
    adapting = settings(encoder, epochs=1, adapt_epochs=1)
    teach(adapting, rows(), texts, SOURCES, seed=1, device=CPU, run=tmp_path)
    adapted = BertModel.from_pretrained(tmp_path / "teachers/tiny/adapted").state_dict()
    before = BertModel.from_pretrained(encoder).state_dict()
    name = "encoder.layer.0.output.dense.weight"
    assert not torch.equal(adapted[name], before[name])


def test_other_settings_teach_anew(encoder: Path, tmp_path: Path) -> None:
    teach(settings(encoder, epochs=1), rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    (tmp_path / "teachers/tiny/logits.npz").write_bytes(b"stale")
    teach(settings(encoder, epochs=2), rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    assert not (tmp_path / "teachers/tiny/logits.npz").exists()


def test_other_rows_teach_anew_and_other_descriptions_do_not(encoder: Path, tmp_path: Path) -> None:
    short = settings(encoder, epochs=1)
    kept = tmp_path / "teachers/tiny/logits.npz"
    teach(short, rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    kept.write_bytes(b"answers")
    moved = tmp_path / "moved" / encoder.name
    described = short.model_copy(update={"licence": "MIT", "directory": str(moved)})
    teach(described, rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    assert kept.exists()
    teach(short, rows()[1:], [], SOURCES, seed=1, device=CPU, run=tmp_path)
    assert not kept.exists()


def test_a_teacher_whose_deletion_was_interrupted_is_not_taken_for_another(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    teach(settings(encoder, epochs=1), rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    with monkeypatch.context() as context:
        context.setattr(shutil, "rmtree", interrupted)
        other = settings(encoder, epochs=2)
        with pytest.raises(KeyboardInterrupt):
            teach(other, rows(), [], SOURCES, seed=1, device=CPU, run=tmp_path)
    with pytest.raises(ConfigError, match="holds no fine-tuned teacher"):
        load_teacher(tmp_path / "teachers/tiny")


def test_masking_spares_padding_and_special_pieces(encoder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(encoder)
    torch.manual_seed(0)
    ids = torch.full((50, 40), 7)
    ids[:, 0], ids[:, 30] = tokenizer.cls_token_id, tokenizer.sep_token_id
    mask = (torch.arange(40) <= 30).expand(50, 40).long()
    masked, wanted = mask_pieces(ids, mask, tokenizer)
    chosen = wanted != -100
    assert not chosen[:, [0, 30]].any()
    assert not chosen[:, 31:].any()
    assert 0.1 < chosen[:, 1:30].float().mean() < 0.2
    assert 0.7 < (masked[chosen] == tokenizer.mask_token_id).float().mean() < 0.9
    assert torch.equal(masked[~chosen], ids[~chosen])


def test_soft_labels_are_the_mean_of_softened_probabilities() -> None:
    sure, unsure = np.array([[4.0, 0.0, 0.0]], np.float32), np.zeros((1, 3), np.float32)
    expected = (np.exp([2.0, 0, 0]) / np.exp([2.0, 0, 0]).sum() + 1 / 3) / 2
    np.testing.assert_allclose(soft_labels([sure, unsure], 2.0)[0], expected, rtol=1e-6)


def test_a_text_is_asked_about_once(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def answer(texts: Sequence[str]) -> Logits:
        asked.append([*texts])
        return np.array([[len(text), 0, 0] for text in texts], np.float32)

    path = tmp_path / "logits.npz"
    for texts in (["好"], ["好"], ["很差啊", "好", "差评", "好"]):
        logits = cached_logits(path, texts, answer)
        np.testing.assert_array_equal(logits[:, 0], [len(text) for text in texts])
    assert asked == [["好"], ["很差啊", "差评"]]


def test_the_distilled_loss_mixes_by_what_a_row_has() -> None:
    config = DistilConfig(temperature=2.0, soft_share=0.25)
    logits = torch.tensor([[2.0, 0.0, -1.0]] * 3)
    soft = torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.5], [float("nan")] * 3])
    losses = smoothed_loss(logits, torch.tensor([0, 0, 0]), torch.ones(3, 3, dtype=torch.bool), 0)
    labelled = torch.tensor([True, False, True])
    mixed = distilled_loss(logits, losses, soft, labelled, config)
    log_probabilities = (logits[0] / 2).log_softmax(0)
    divergence = 4 * (soft[0] * (soft[0].log() - log_probabilities)).sum()
    torch.testing.assert_close(
        mixed, torch.stack([0.75 * losses[0] + 0.25 * divergence, divergence, losses[2]])
    )


def test_a_run_with_a_teacher_learns_from_it(
    encoder: Path, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config(corpus)
    data = tmp_path / "data"
    shutil.copytree(encoder, data / "tiny-encoder")
    shutil.copy(corpus, data)
    config = RunConfig.model_validate(
        config.model_dump()
        | {
            "distil": {
                "networks": 1,
                "unlabelled": 20,
                "teachers": [settings(encoder).model_dump() | {"directory": "tiny-encoder"}],
            }
        }
    )
    run = tmp_path / "run"
    train(config, data, run, tmp_path / "artifact")
    assert (run / "networks" / "117" / "best.safetensors").exists()
    with np.load(run / "teachers" / "tiny" / "logits.npz") as cached:
        assert len(cached["logits"]) > 20

    caplog.clear()  # another temperature asks no teacher again
    other = config.model_copy(
        update={"distil": config.distil.model_copy(update={"temperature": 1.0})}  # type: ignore[union-attr]
    )
    written = (run / "teachers" / "tiny" / "logits.npz").stat().st_mtime_ns
    network = (run / "networks" / "117" / "best.safetensors").stat().st_mtime_ns
    train(other, data, run, tmp_path / "other")
    assert (run / "teachers" / "tiny" / "logits.npz").stat().st_mtime_ns == written
    assert (run / "networks" / "117" / "best.safetensors").stat().st_mtime_ns == network
