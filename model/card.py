"""The model card, generated: by the run that made the model, and again by its evaluation."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from model import artifact as artifacts
from model.artifact import Artifact
from model.config import LABELS, RunConfig
from model.constructions import SOURCE as CONSTRUCTIONS
from model.data import Example, Splits
from model.errors import ArtifactError
from model.evaluate import Evaluation
from model.figures import draw_reliability

RELIABILITY = "reliability.png"

_BEGIN = "<!-- evaluation -->"
_END = "<!-- end of evaluation -->"
_FAILURES = 12
# A core under full load draws about so much, cooling and the rest of the machine not counted.
_WATTS_A_CORE = 10
_WATTS_A_GPU = 700


def model_card(
    config: RunConfig,
    splits: Splits,
    train: Sequence[Example],
    metrics: dict[str, dict[str, float]],
    *,
    start: Artifact | None,
    stopwords: int,
    certain: float,
    core_hours: float,
    gpu_hours: float,
) -> str:
    """A Markdown card with Hugging Face's metadata.

    Args:
        config: the run's.
        splits: what was read.
        train: the rows that fine-tuning saw.
        metrics: the dev scores.
        start: the artifact that training began from, if any.
        stopwords: how many there are.
        certain: the share of the answers on dev that are not uncertain.
        core_hours: what the run took on a CPU.
        gpu_hours: what it took on a GPU.
    """
    pretraining, unlabelled = "", ""
    if config.pretrain:
        pretraining = "first pre-trained as two language models on all texts below, then "
        unlabelled = "".join(
            f"| {source.name} | {source.sample:.0%} of it, without labels | | "
            f"| {source.origin} | {source.licence} |\n"
            for source in config.pretrain.unlabelled
        )
    if start:
        pretraining = f"begun from {start.manifest.name} {start.manifest.version}, "
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in splits.left_out.items())
    return f"""---
language: zh
license: other
library_name: zh-sentiment
pipeline_tag: text-classification
tags: [sentiment-analysis, lstm]
---

# {config.name} {config.version}

Says whether a Chinese text is positive, neutral or negative. A bidirectional LSTM over words
({config.network.embedding_size} embedding, {config.network.hidden_size} hidden features a
direction), {pretraining}trained on labelled texts with seed {config.finetuning_seed}.
{stopwords} stopwords are dropped; `stopwords.txt` lists them.

{config.data.notes}

## What it is for, and what not

For reviews, posts, comments and messages in simplified or traditional Chinese, a sentence to a few
hundred characters each, where many answers are counted or sorted and a person looks at what
matters. Not for decisions about people, not for irony, not for what a text says of each of several
things, and not for other languages: a text without a Chinese word is always `uncertain`.

## What neutral means

Neutral is a class of its own, trained on texts that people labelled so. It means that a reader
finds no judgement and no feeling in the text: facts, notices, questions, plain product data; or
that the judgement is the middle of the scale, as in 一般般 or 中规中矩. It does not mean that the
model is in doubt (that is `uncertain`), nor that good and bad balance: a mixed text goes by what
outweighs, and behind 但是 by what follows.

{_BEGIN}
## Figures

Not measured yet: `sentiment evaluate --card`.
{_END}

## Training data

| set | train rows (positive, neutral, negative) | dev rows | labels | origin | licence |
|---|---|---|---|---|---|
{_data_rows(config, splits, train)}
{unlabelled}
Left out of training and dev: {left_out or "nothing"}.

Whoever ships the weights in a product has to judge each licence above: where none is stated,
nobody has allowed it, and sets for research alone exclude it. The code's own licence, Apache-2.0,
says nothing about the weights. Trained on data of one's own, the same code gives weights without
that question.

## Scores on the dev splits

| set | accuracy | macro-F1 |
|---|---|---|
{_score_rows(metrics)}

For sets labelled positive or negative alone, the more probable of these two counts. An answer is
`uncertain` where its confidence is below the bound from which on the answers to dev rows that could
be neutral are right {100 * config.finetune.confident_accuracy:.0f} times in 100;
{100 * certain:.0f} in 100 of them are above it.

## What training took

{_cost(core_hours, gpu_hours)}; the hours are measured, the watts assumed.
"""


def _cost(core_hours: float, gpu_hours: float) -> str:
    parts = [
        f"{hours:.2f} {unit}, at {watts} watts about {hours * watts:.0f} watt-hours"
        for hours, unit, watts in (
            (core_hours, "core-hours on a CPU", _WATTS_A_CORE),
            (gpu_hours, "hours on a GPU", _WATTS_A_GPU),
        )
        if hours
    ]
    return "; ".join(parts)


def with_evaluation(card: str, evaluation: Evaluation) -> str:
    """The card with the figures of an evaluation in place of those that it had.

    Raises:
        ArtifactError: the card has no place for them.
    """
    if _BEGIN not in card or _END not in card:
        raise ArtifactError(f"{artifacts.CARD} has no lines {_BEGIN} and {_END} to write between")
    before, rest = card.split(_BEGIN, 1)
    _, behind = rest.split(_END, 1)
    gate = "\n".join(
        f"| {group} | {right} of {count} |"
        for group, (right, count) in evaluation.gate.shares().items()
    )
    return f"""{before}{_BEGIN}
## Figures

All rows of every test split, in percent. Two-class splits know no neutral: there the likelier of
positive and negative counts, for every model. Macro-F1 is over the labels that a split has. Spread
is the standard deviation. No dev or test text stands in training, except in
`chnsenticorp_official`, which is tuned on that set's own rows as published figures are; 28% of its
test texts stand in them.

{evaluation.comparison()}

The shipped model alone. Calibration error is the expected one over 15 bins. `certain` is the share
of answers that are not `uncertain`. Near-duplicates begin or end with the same 20 characters as a
training text.

{evaluation.details()}

![accuracy over confidence, a panel a test split]({RELIABILITY})

The gate: {len(evaluation.gate.answers)} sentences written for it,
{100 * evaluation.gate.share:.1f}% read rightly.

| group | read rightly |
|---|---|
{gate}

## Known failures

{_failures(evaluation)}
{_END}{behind}"""


def write_evaluation(directory: Path, evaluation: Evaluation) -> None:
    """Puts an evaluation's figures and picture into the card of the artifact in a directory."""
    artifact = artifacts.load(directory)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / RELIABILITY
        draw_reliability(evaluation.splits, picture)
        figures = {RELIABILITY: picture.read_bytes()}
    card = with_evaluation(artifact.card, evaluation)
    artifacts.save(replace(artifact, card=card, figures=figures), directory)


def _failures(evaluation: Evaluation) -> str:
    lines = [
        f"- {sentence.text}: {sentence.label}, answered {prediction.label} "
        f"({prediction.confidence:.2f})"
        for sentence, prediction in evaluation.gate.failures()[:_FAILURES]
    ]
    return "\n".join(lines) or "Every sentence of the gate is read rightly."


def _data_rows(config: RunConfig, splits: Splits, train: Sequence[Example]) -> str:
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for example in train:
        counts[example.source][example.label] += 1
    dev = Counter(example.source for example in splits.dev)
    sets = [(source.name, source.origin, source.licence) for source in config.data.sources]
    if CONSTRUCTIONS in counts:
        sets.append((CONSTRUCTIONS, "this project, from templates", "Apache-2.0"))
    rows = []
    for name, origin, licence in sets:
        labels = [counts[name][index] for index in range(len(LABELS))]
        each = ", ".join(f"{count:,}" for count in labels)
        had = ", ".join(label for label, count in zip(LABELS, labels, strict=True) if count)
        rows.append(
            f"| {name} | {sum(labels):,} ({each}) | {dev[name]:,} | {had} | {origin} | {licence} |"
        )
    return "\n".join(rows)


def _score_rows(metrics: dict[str, dict[str, float]]) -> str:
    return "\n".join(
        f"| {name} | {values['accuracy']:.3f} | {values['macro_f1']:.3f} |"
        for name, values in metrics.items()
        if name != "mean"
    )
