"""The release check: sentences that a model must get right, in groups by what they test.

Behavioural tests in the manner of CheckList (Ribeiro et al., 2020): a group shows what the mean
over a test split hides. None of the sentences is among the synthetic training sentences.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model.classifier import Classifier, Prediction
from model.config import LABELS

FILE = Path(__file__).with_suffix(".csv")

MIN_SHARE = 0.95  # of all sentences, for a release
MIN_GROUP_SHARE = 0.85  # of each group; lower, since one failure is a tenth of a small group


@dataclass(frozen=True, slots=True)
class ReleaseCheckSentence:
    """A text, the label that a reader gives it, and the group that says what it tests."""

    group: str
    text: str
    label: str


@dataclass(frozen=True)
class ReleaseCheckResult:
    """The answer of a model to each sentence."""

    answers: list[tuple[ReleaseCheckSentence, Prediction]]

    def shares(self) -> dict[str, tuple[int, int]]:
        """Count, for each group, the sentences that the model got right and all of them."""
        shares: dict[str, tuple[int, int]] = {}
        for sentence, prediction in self.answers:
            right, count = shares.get(sentence.group, (0, 0))
            shares[sentence.group] = (right + (prediction.label == sentence.label), count + 1)
        return shares

    @property
    def share(self) -> float:
        """The share of all sentences that the model got right."""
        return sum(right for right, _ in self.shares().values()) / len(self.answers)

    @property
    def passed(self) -> bool:
        """Whether the model may be released."""
        groups = self.shares().values()
        return self.share >= MIN_SHARE and all(r >= MIN_GROUP_SHARE * count for r, count in groups)

    def failures(self) -> list[tuple[ReleaseCheckSentence, Prediction]]:
        """Return the sentences that the model got wrong, with its answers."""
        return [(s, p) for s, p in self.answers if p.label != s.label]

    def report(self) -> str:
        """Return one line per group, then one per failure with its probabilities."""
        lines = [
            f"{name:28} {right:3} of {count}" for name, (right, count) in self.shares().items()
        ]
        lines.append(f"{'in all':28} {100 * self.share:.1f}%")
        for sentence, prediction in self.failures():
            probabilities = ", ".join(
                f"{label} {probability:.2f}"
                for label, probability in zip(LABELS, prediction.probabilities, strict=True)
            )
            lines.append(f"{sentence.group}: {sentence.text} is {sentence.label}: {probabilities}")
        return "\n".join(lines)


def release_check_sentences() -> list[ReleaseCheckSentence]:
    """Read the sentences, in the order of the file."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [ReleaseCheckSentence(**row) for row in csv.DictReader(file)]


def run_release_check(
    classifier: Classifier, sentences: Sequence[ReleaseCheckSentence] = ()
) -> ReleaseCheckResult:
    """Classify sentences, by default all of the release check."""
    sentences = sentences or release_check_sentences()
    predictions = classifier.predict(sentence.text for sentence in sentences)
    return ReleaseCheckResult(list(zip(sentences, predictions, strict=True)))
