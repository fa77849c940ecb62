"""How good a model is on a labelled file of the user's own.

Letters in the shapes: N texts, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from gettext import gettext as _
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_fscore_support

from model.bulk.labelled import LabelledRows
from model.classifier import Classifier
from model.config import LABELS, NEUTRAL, SourceConfig
from model.corpora import Example
from model.errors import one_line
from model.evaluation.evaluate import answers_of
from model.evaluation.figures import draw_confusion, draw_reliability
from model.evaluation.results import Answers, TestSplit
from model.scores import (
    calibration_bins,
    calibration_error,
    calibration_error_by_chance,
    predicted_labels,
    share_limits,
)

_BINS = 10
_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_MAX_WRONG = 10
_DEVIATIONS = 1.96  # 95 times in 100


@dataclass(frozen=True)
class ResultTable:
    """A table for people: what it shows, its head, and its rows, the last column of which is free.

    The columns before the last hold short values; ``note`` says in a sentence how to read it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class FileEvaluation:
    """The answers of a model to N labelled rows."""

    labelled: LabelledRows
    split: TestSplit
    uncertain_below: float

    def summary(self) -> list[str]:
        """Return the main figures, and what they are of, in sentences."""
        texts = len(self.split.examples)
        scored = self.split.scored(self.split.answers.shipped)
        lower, upper = share_limits(np.array([scored["accuracy"]]), np.array([texts]), _DEVIATIONS)
        sentences = [
            _("accuracy {accuracy}, macro-F1 {macro_f1} of {texts}").format(
                accuracy=_percent(scored["accuracy"]),
                macro_f1=_percent(scored["macro_f1"]),
                texts=_texts(texts),
            ),
            _(
                "of all texts like these, the accuracy is, 95 times in 100, between {lower} and "
                "{upper}"
            ).format(lower=_percent(lower[0]), upper=_percent(upper[0])),
        ]
        if left_out := sum(self.labelled.left_out.values()):
            sentences.append(
                _("{left_out:,} rows that have no text or no label do not count").format(
                    left_out=left_out
                )
            )
        if self.split.source.two_classes:
            neutral = (self.split.answers.shipped.argmax(axis=1) == NEUTRAL).mean()
            sentences.append(
                _(
                    "no row is neutral, so the likelier of positive and negative counts; the "
                    "answer itself is neutral for {share}"
                ).format(share=_percent(float(neutral)))
            )
        return sentences

    def tables(self) -> list[ResultTable]:
        """Return what there is to know, the most asked for first."""
        return [
            self._by_label(),
            self._confusion(),
            self._coverage(),
            self._reliability(),
            *([self._wrong()] if not self._decisions()[1].all() else []),
        ]

    def draw(self, directory: Path) -> list[Path]:
        """Draw confusion and reliability into a directory, and return the files."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = [directory / "confusion.png", directory / "reliability.png"]
        draw_confusion([self.split], paths[0])
        draw_reliability([self.split], paths[1])
        return paths

    def _decisions(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        return self.split.decisions()

    def _answered(self) -> NDArray[np.int64]:
        return predicted_labels(self.split.answers.shipped, self.split.source.two_classes)

    def _shown_labels(self) -> list[int]:
        """Return the labels that a row has or an answer is."""
        occurring = {*self.split.labels.tolist(), *self._answered().tolist()}
        return [label for label in range(len(LABELS)) if label in occurring]

    def _by_label(self) -> ResultTable:
        labels, answered = self.split.labels, self._answered()
        shown = self._shown_labels()
        figures = precision_recall_fscore_support(labels, answered, labels=shown, zero_division=0)
        rows = [
            [
                _(LABELS[label]),
                f"{count:,}",
                f"{(answered == label).sum():,}",
                *map(_percent, (precision, recall, f1)),
            ]
            for label, precision, recall, f1, count in zip(shown, *figures, strict=True)
        ]
        return ResultTable(
            _("By label"),
            [_("label"), _("texts"), _("answers"), _("precision"), _("recall"), "F1"],
            rows,
            _(
                "precision: of the answers, how many are right; recall: of the texts, how many are "
                "found"
            ),
        )

    def _confusion(self) -> ResultTable:
        labels, answered = self.split.labels, self._answered()
        shown = self._shown_labels()
        rows = [
            [
                _(LABELS[label]),
                *(f"{((labels == label) & (answered == other)).sum():,}" for other in shown),
            ]
            for label in shown
        ]
        answers = (_("answered {label}").format(label=_(LABELS[label])) for label in shown)
        return ResultTable(_("Confusion"), [_("label"), *answers], rows)

    def _coverage(self) -> ResultTable:
        confidences, correct = self._decisions()
        chosen = [(f"{bound:.2f}", confidences >= bound) for bound in _THRESHOLDS]
        chosen.append((_("not uncertain"), ~self.split.answers.uncertain))
        rows = [
            [
                name,
                f"{inside.sum():,}",
                _percent(inside.mean()),
                _percent(correct[inside].mean()) if inside.any() else "",
            ]
            for name, inside in chosen
        ]
        return ResultTable(
            _("Coverage"),
            [_("confidence from"), _("texts"), _("share"), _("accuracy")],
            rows,
            _(
                "what remains of answers if so much confidence is asked for; uncertain are those "
                "below {bound:g}"
            ).format(bound=self.uncertain_below),
        )

    def _reliability(self) -> ResultTable:
        confidences, correct = self._decisions()
        rows = [
            [f"{count:,}", _percent(confidence), _percent(accuracy)]
            for count, confidence, accuracy in calibration_bins(confidences, correct, _BINS)
        ]
        return ResultTable(
            _("Reliability"),
            [_("texts"), _("mean confidence"), _("accuracy")],
            rows,
            _("calibration error {error:.3f}, of which chance alone gives {by_chance:.3f}").format(
                error=calibration_error(confidences, correct),
                by_chance=calibration_error_by_chance(confidences),
            ),
        )

    def _wrong(self) -> ResultTable:
        confidences, correct = self._decisions()
        wrong = sorted(np.flatnonzero(~correct).tolist(), key=lambda index: -confidences[index])
        answered = self._answered()
        rows = [
            [
                f"{self.labelled.rows[index].number:,}",
                _(LABELS[self.split.labels[index]]),
                _(LABELS[answered[index]]),
                f"{confidences[index]:.2f}",
                one_line(self.split.examples[index].text),
            ]
            for index in wrong[:_MAX_WRONG]
        ]
        head = [_("row"), _("label"), _("answer"), _("confidence"), _("text")]
        note = _("read these first: is the answer wrong, or the label?")
        return ResultTable(_("Most confidently wrong"), head, rows, note)


def evaluate_file(labelled: LabelledRows, classifier: Classifier) -> FileEvaluation:
    """Classify the rows of a file and compare with their labels."""
    examples = [Example(row.text, row.label, labelled.path.name) for row in labelled.rows]
    probabilities, uncertain = answers_of(
        classifier, [example.text for example in examples], _("classifying")
    )
    two_classes = NEUTRAL not in labelled.labels and len(labelled.labels) > 1
    source = SourceConfig(name=labelled.path.name, train=(), two_classes=two_classes)
    split = TestSplit(
        f"{len(examples):,} texts",  # a picture's font may lack the characters of a file's name
        source,
        examples,
        np.zeros(len(examples), dtype=bool),
        Answers(probabilities, uncertain, [], {}),
    )
    return FileEvaluation(labelled, split, classifier.artifact.manifest.uncertain_below)


def _texts(count: int) -> str:
    return _("1 text") if count == 1 else _("{count:,} texts").format(count=count)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
