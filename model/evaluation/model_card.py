"""The figures of an evaluation in the model card."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from model import artifact as artifacts
from model.errors import ArtifactError
from model.evaluation.baselines import FastText, SnowNlp, TeacherBaseline, TfidfSvm
from model.evaluation.figures import draw_groups, draw_reliability, group_pictures
from model.evaluation.release_check import ReleaseCheckResult
from model.evaluation.results import OTHER, Evaluation, KindTest, TestSplit
from model.training.model_card import BEGIN_FIGURES, END_FIGURES

RELIABILITY = "reliability.png"

_MAX_FAILURES = 12
_BASELINES = {
    TfidfSvm.name: "linear SVMs over TF-IDF of character 1- to 3-grams, trained on the same rows",
    FastText.name: "over the same words and word pairs, trained on the same rows",
    SnowNlp.name: "as it comes, with the model that it ships; 0.4 to 0.6 counts as neutral",
    TeacherBaseline.name: "a larger network that this one learned from",
}
_RELEASE = "an earlier release, with the text pipeline of this one"


def with_evaluation(card: str, evaluation: Evaluation, uncertain_below: float) -> str:
    """Return the card with its figures replaced by those of an evaluation.

    The splits with groups come first, then the kinds, then all splits.

    Args:
        card: as ``model_card`` made it or an earlier evaluation left it.
        evaluation: what was measured.
        uncertain_below: the artifact's bound.

    Raises:
        ArtifactError: the card does not have the lines to write between.
    """
    if BEGIN_FIGURES not in card or END_FIGURES not in card:
        raise ArtifactError(
            f"{artifacts.CARD} has no lines {BEGIN_FIGURES} and {END_FIGURES} to write between"
        )
    before, rest = card.split(BEGIN_FIGURES, 1)
    _, after = rest.split(END_FIGURES, 1)
    sections = [f"## Figures\n\n{_introduction(evaluation, uncertain_below)}"]
    sections += [_by_group(split) for split in evaluation.grouped]
    if evaluation.kinds:
        sections.append(_by_kind(evaluation.kinds))
    sections += [_all_splits(evaluation), _check_section(evaluation.release_check)]
    sections.append(f"## Known failures\n\n{_failures(evaluation)}")
    figures = "\n\n".join(sections)
    return f"{before}{BEGIN_FIGURES}\n{figures}\n{END_FIGURES}{after}"


def _introduction(evaluation: Evaluation, uncertain_below: float) -> str:
    baselines = dict.fromkeys(
        name for split in evaluation.splits for name in split.answers.baselines
    )
    others = "".join(f"\n- **{name}**: {_BASELINES.get(name, _RELEASE)}" for name in baselines)
    beside = f"\n\nFor comparison, in the same run on the same texts:\n{others}" if others else ""
    return f"""All rows of every test split, in percent. Macro-F1 is over the labels that occur.
`certain` is the share of answers that are not `uncertain`: those with a confidence of
{uncertain_below:g} and more, to texts with a Chinese word. Calibration error is the expected
calibration error over 15 bins, and `by chance` its average if every confidence were exact; an error
on few texts that is not above it means nothing.{beside}"""


def _by_group(split: TestSplit) -> str:
    scored = split.scored(split.answers.shipped)
    _, correct = split.decisions()
    certain = ~split.answers.uncertain
    of_certain = f", {100 * correct[certain].mean():.1f}% of them correct" if certain.any() else ""
    notes = f"{split.source.notes}\n\n" if split.source.notes else ""
    confusion, reliability = group_pictures(split)
    return f"""### `{split.name}`, by {split.source.group_column}

{notes}Of {len(correct):,} texts, {100 * scored["accuracy"]:.1f}% are answered correctly (macro-F1
{100 * scored["macro_f1"]:.1f}). {100 * certain.mean():.1f}% of the answers are not
`uncertain`{of_certain}.

{split.by_group()}

The last columns are the accuracy of the other models; `{OTHER}` holds the groups of few texts.

![confusion of labels and answers in percent, one panel per group]({confusion})

![accuracy over confidence, one panel per group]({reliability})"""


def _by_kind(kinds: KindTest) -> str:
    correct = kinds.correct(kinds.answers.shipped)
    wrong, opposite = np.count_nonzero(~correct), np.count_nonzero(kinds.opposite())
    return f"""### Sentences by kind of expression

{len(correct)} sentences that each test one kind of expression: {100 * correct.mean():.1f}% are
answered correctly, and {opposite} of the {wrong} others with the opposite polarity. The table
counts sentences.

{kinds.table()}"""


def _all_splits(evaluation: Evaluation) -> str:
    return f"""### All test splits

Two-class splits have no neutral: there the likelier of positive and negative counts, for every
model. ± is the standard deviation. No dev or test text appears in the training data, except in
`chnsenticorp_official`, which is tuned on that set's own rows as published figures are; they
contain 28% of its test texts.

{evaluation.comparison()}

The shipped model alone. Near-duplicates begin or end with the same 20 characters as a training
text.

{evaluation.details()}

![accuracy over confidence, one panel per test split]({RELIABILITY})"""


def _check_section(check: ReleaseCheckResult) -> str:
    rows = "\n".join(
        f"| {group} | {right} of {count} |" for group, (right, count) in check.shares().items()
    )
    return f"""### Release check

{len(check.answers)} sentences written for it, {100 * check.share:.1f}% answered correctly.

| group | answered correctly |
|---|---|
{rows}"""


def write_evaluation(directory: Path, evaluation: Evaluation) -> None:
    """Write an evaluation's figures and pictures into the card of the artifact in a directory."""
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
        for sentence, prediction in evaluation.release_check.failures()[:_MAX_FAILURES]
    ]
    return "\n".join(lines) or "Every sentence of the release check is answered correctly."
