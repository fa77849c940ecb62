"""The figures of an evaluation in the model card."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from model import artifact as artifacts
from model.errors import ArtifactError
from model.evaluation.baselines import FastText, SnowNlp, TeacherBaseline, TfidfSvm
from model.evaluation.evaluate import OTHER, Evaluation, KindTest, TestSplit
from model.evaluation.figures import draw_groups, draw_reliability, group_pictures
from model.evaluation.release_check import ReleaseCheckResult
from model.training.model_card import BEGIN_FIGURES, END_FIGURES

RELIABILITY = "reliability.png"

_FAILURES = 12
_BASELINES = {
    TfidfSvm.name: "linear SVMs over characters 1-3-grams by TF-IDF, trained on the same rows",
    FastText.name: "over the same words and their pairs, trained on the same rows",
    SnowNlp.name: "as it comes, with the model that it ships; 0.4 to 0.6 counts as neutral",
    TeacherBaseline.name: "a larger network that this one learned from",
}
_RELEASE = "an earlier release, given its words by the text pipeline of this one"


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
    if BEGIN_FIGURES not in card or END_FIGURES not in card:
        raise ArtifactError(
            f"{artifacts.CARD} has no lines {BEGIN_FIGURES} and {END_FIGURES} to write between"
        )
    before, rest = card.split(BEGIN_FIGURES, 1)
    _, after = rest.split(END_FIGURES, 1)
    sections = [f"## Figures\n\n{_reading(evaluation, uncertain_below)}"]
    sections += [_by_group(split) for split in evaluation.grouped]
    if evaluation.kinds:
        sections.append(_by_kind(evaluation.kinds))
    sections += [_all_splits(evaluation), _release_check(evaluation.release_check)]
    sections.append(f"## Known failures\n\n{_failures(evaluation)}")
    figures = "\n\n".join(sections)
    return f"{before}{BEGIN_FIGURES}\n{figures}\n{END_FIGURES}{after}"


def _reading(evaluation: Evaluation, uncertain_below: float) -> str:
    baselines = dict.fromkeys(
        name for split in evaluation.splits for name in split.answers.baselines
    )
    others = "".join(f"\n- **{name}**: {_BASELINES.get(name, _RELEASE)}" for name in baselines)
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


def _release_check(check: ReleaseCheckResult) -> str:
    rows = "\n".join(
        f"| {group} | {right} of {count} |" for group, (right, count) in check.shares().items()
    )
    return f"""### Release check

{len(check.answers)} sentences written for it, {100 * check.share:.1f}% answered correctly.

| group | answered correctly |
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
        for sentence, prediction in evaluation.release_check.failures()[:_FAILURES]
    ]
    return "\n".join(lines) or "Every sentence of the release check is answered correctly."
