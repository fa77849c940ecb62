"""The model card that a training run writes; an evaluation puts its figures into it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from model.artifact import Artifact
from model.config import LABELS, RunConfig
from model.corpora import Example, Splits
from model.training.templates import SOURCE as TEMPLATES

BEGIN_FIGURES = "<!-- evaluation -->"
END_FIGURES = "<!-- end of evaluation -->"
# A core under full load draws about so much, cooling and the rest of the machine not counted.
_WATTS_A_CORE = 10
_WATTS_A_GPU = 700


@dataclass(frozen=True)
class TeacherNote:
    """A network that a run learned from; ``share`` is its part, 0 to 1, in the average."""

    name: str
    origin: str
    licence: str
    share: float


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
    teachers: Sequence[TeacherNote] = (),
    bound_by: Sequence[str] = (),
) -> str:
    """A Markdown card with Hugging Face's metadata.

    Args:
        config: the run's.
        splits: what was read.
        train: the rows that fine-tuning saw.
        metrics: the dev scores.
        start: the artifact that training began from, if any.
        stopwords: how many there are.
        certain: the share of the answers that are not uncertain, of those that set the bound.
        core_hours: what the run took on a CPU.
        gpu_hours: what it took on a GPU.
        teachers: what the network learned from beside the labels.
        bound_by: the sets whose dev rows set the bound of ``uncertain``; where none is named,
            those that could be neutral did.
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

Neutral is a class of its own, trained on texts that were labelled so. It means that a reader
finds no judgement and no feeling in the text: facts, notices, questions, plain product data; or
that the judgement is the middle of the scale, as in 一般般 or 中规中矩. It does not mean that the
model is in doubt (that is `uncertain`), nor that good and bad balance: a mixed text goes by what
outweighs, and after 但是 by what follows.

{BEGIN_FIGURES}
## Figures

Not measured yet: `sentiment evaluate --card`.
{END_FIGURES}

{_taught_by(teachers)}## Training data

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
`uncertain` where its confidence is below the bound from which on the answers to
{_bound_rows(config, bound_by)} are right
{100 * config.finetune.confident_accuracy:.0f} times in 100; {100 * certain:.0f} in 100 of them are
above it.

## What training took

{_cost(core_hours, gpu_hours)}; the hours are measured, the watts assumed.
"""


def _bound_rows(config: RunConfig, bound_by: Sequence[str]) -> str:
    """The dev rows that the bound of ``uncertain`` was set by, in words."""
    if bound_by:
        return f"the dev rows of {', '.join(bound_by)}"
    if all(source.two_classes for source in config.data.sources):
        return "dev rows"
    return "dev rows that could be neutral"


def _taught_by(teachers: Sequence[TeacherNote]) -> str:
    if not teachers:
        return ""
    rows = "\n".join(
        f"| {teacher.name} | {teacher.share:.0%} | {teacher.origin} | {teacher.licence} |"
        for teacher in teachers
    )
    return f"""## What taught it

Beside the labels, the network learned from what these answered to the same texts, averaged
(distillation: Hinton et al., 2015). They are not needed to use it.

| teacher | share of the average | origin | licence |
|---|---:|---|---|
{rows}

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


def _data_rows(config: RunConfig, splits: Splits, train: Sequence[Example]) -> str:
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for example in train:
        counts[example.source][example.label] += 1
    dev = Counter(example.source for example in splits.dev)
    sets = [(source.name, source.origin, source.licence) for source in config.data.sources]
    if TEMPLATES in counts:
        sets.append((TEMPLATES, "this project, from templates", "Apache-2.0"))
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
