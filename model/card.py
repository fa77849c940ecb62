"""The model card, generated: by the run that made the model, and again by its evaluation."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model import artifact as artifacts
from model.artifact import Artifact
from model.config import LABELS, RunConfig
from model.constructions import SOURCE as CONSTRUCTIONS
from model.data import Example, Splits
from model.errors import ArtifactError
from model.evaluate import OTHER, Evaluation, KindTest, TestSplit
from model.figures import draw_groups, draw_reliability, group_pictures
from model.gate import GateResult
from model.peers import FastText, Linear, SnowNlp, TeacherPeer

RELIABILITY = "reliability.png"

_BEGIN = "<!-- evaluation -->"
_END = "<!-- end of evaluation -->"
_FAILURES = 12
# A core under full load draws about so much, cooling and the rest of the machine not counted.
_WATTS_A_CORE = 10
_WATTS_A_GPU = 700
_PEERS = {
    Linear.name: "linear SVMs over characters 1-3-grams by TF-IDF, trained on the same rows",
    FastText.name: "over the same words and their pairs, trained on the same rows",
    SnowNlp.name: "as it comes, with the model that it ships; 0.4 to 0.6 counts as neutral",
    TeacherPeer.name: "a larger network that this one learned from",
}
_RELEASE = "an earlier release, given its words by the text pipeline of this one"


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

{_BEGIN}
## Figures

Not measured yet: `sentiment evaluate --card`.
{_END}

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


def with_evaluation(card: str, evaluation: Evaluation, uncertain_below: float) -> str:
    """The card with the figures of an evaluation in place of those that it had.

    It leads with the splits that are told apart by group, then come the kinds, then all splits.

    Args:
        card: as ``model_card`` made it, or an earlier evaluation left it.
        evaluation: what was measured.
        uncertain_below: the artifact's bound.

    Raises:
        ArtifactError: the card has no place for them.
    """
    if _BEGIN not in card or _END not in card:
        raise ArtifactError(f"{artifacts.CARD} has no lines {_BEGIN} and {_END} to write between")
    before, rest = card.split(_BEGIN, 1)
    _, after = rest.split(_END, 1)
    sections = [f"## Figures\n\n{_reading(evaluation, uncertain_below)}"]
    sections += [_by_group(split) for split in evaluation.grouped]
    if evaluation.kinds:
        sections.append(_by_kind(evaluation.kinds))
    sections += [_all_splits(evaluation), _release_check(evaluation.gate)]
    sections.append(f"## Known failures\n\n{_failures(evaluation)}")
    figures = "\n\n".join(sections)
    return f"{before}{_BEGIN}\n{figures}\n{_END}{after}"


def _reading(evaluation: Evaluation, uncertain_below: float) -> str:
    peers = dict.fromkeys(name for split in evaluation.splits for name in split.answers.peers)
    others = "".join(f"\n- **{name}**: {_PEERS.get(name, _RELEASE)}" for name in peers)
    beside = f"\n\nBeside it, in the same run and on the same texts:\n{others}" if others else ""
    return f"""All rows of every test split, in percent. Macro-F1 is over the labels that the texts
have. `certain` is the share of answers that are not `uncertain`: those of confidence
{uncertain_below:g} and more, of texts with a Chinese word. Calibration error is the expected one
over 15 bins, and `by chance` what it would be on average if every confidence were right: of few
texts, an error that is not above it says nothing.{beside}"""


def _by_group(split: TestSplit) -> str:
    scored = split.scored(split.answers.shipped)
    _, right = split.decided()
    certain = ~split.answers.uncertain
    of_certain = f", {100 * right[certain].mean():.1f}% of them right" if certain.any() else ""
    notes = f"{split.source.notes}\n\n" if split.source.notes else ""
    confusion, reliability = group_pictures(split)
    return f"""### `{split.name}`, by {split.source.group_column}

{notes}Of {len(right):,} texts {100 * scored["accuracy"]:.1f}% are answered rightly (macro-F1
{100 * scored["macro_f1"]:.1f}). {100 * certain.mean():.1f}% of the answers are not
`uncertain`{of_certain}.

{split.by_group()}

The last columns are the accuracy of the others; groups of few texts stand together as `{OTHER}`.

![what each label was answered with, in percent, a panel a group]({confusion})

![accuracy over confidence, a panel a group]({reliability})"""


def _by_kind(kinds: KindTest) -> str:
    right = kinds.right(kinds.answers.shipped)
    wrong, opposite = np.count_nonzero(~right), np.count_nonzero(kinds.opposite())
    return f"""### Sentences by kind of expression

{len(right)} sentences that each try one kind of expression: {100 * right.mean():.1f}% are answered
rightly, and {opposite} of the {wrong} others with the opposite polarity. The table counts
sentences.

{kinds.table()}"""


def _all_splits(evaluation: Evaluation) -> str:
    return f"""### All test splits

Two-class splits know no neutral: there the likelier of positive and negative counts, for every
model. Spread is the standard deviation. No dev or test text stands in training, except in
`chnsenticorp_official`, which is tuned on that set's own rows as published figures are; 28% of its
test texts stand in them.

{evaluation.comparison()}

The shipped model alone. Near-duplicates begin or end with the same 20 characters as a training
text.

{evaluation.details()}

![accuracy over confidence, a panel a test split]({RELIABILITY})"""


def _release_check(gate: GateResult) -> str:
    rows = "\n".join(
        f"| {group} | {right} of {count} |" for group, (right, count) in gate.shares().items()
    )
    return f"""### The gate

{len(gate.answers)} sentences written for it, {100 * gate.share:.1f}% read rightly.

| group | read rightly |
|---|---|
{rows}"""


def write_evaluation(directory: Path, evaluation: Evaluation) -> None:
    """Puts an evaluation's figures and pictures into the card of the artifact in a directory."""
    artifact = artifacts.load(directory)
    with tempfile.TemporaryDirectory() as folder:
        draw_reliability(evaluation.splits, Path(folder) / RELIABILITY)
        for split in evaluation.grouped:
            draw_groups(split, Path(folder))
        figures = {picture.name: picture.read_bytes() for picture in Path(folder).iterdir()}
    card = with_evaluation(artifact.card, evaluation, artifact.manifest.uncertain_below)
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
