"""Scores on the test splits, ours beside others', all measured in one run on the same texts."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.classifier import Classifier
from model.config import NEUTRAL, RunConfig, SourceConfig, load_config
from model.data import Example, load_splits, load_test, stripped_text
from model.errors import DataError
from model.gate import GateResult, run_gate
from model.metrics import calibration_error, choose, score
from model.peers import PEERS, Peer, Scores
from model.progress import Progress

logger = logging.getLogger(__name__)

OFFICIAL = "chnsenticorp-official"

_NEAR_CHARACTERS = 20


@dataclass(frozen=True)
class TestSplit:
    """A test split and what each model made of it; scores and probabilities are (texts, labels)."""

    name: str
    two_classes: bool
    published: str
    examples: list[Example]
    near_duplicates: float
    shipped: Scores
    uncertain: NDArray[np.bool_]
    seeds: list[Scores]
    peers: dict[str, Scores]

    __test__ = False  # no test, whatever pytest makes of the name

    @property
    def labels(self) -> NDArray[np.int64]:
        """(texts,) the right ones."""
        return np.array([example.label for example in self.examples])

    @property
    def measure(self) -> str:
        """What the split is judged by: accuracy for two classes, macro-F1 for three."""
        return "accuracy" if self.two_classes else "macro_f1"

    def scored(self, scores: Scores) -> dict[str, float]:
        """Accuracy and macro-F1 of one model."""
        return score(self.labels.tolist(), choose(scores, self.two_classes))

    def decided(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(texts,) confidence of the shipped model, and whether it was right.

        Against two-class labels, the confidence that the likelier of the two has beside the other.
        """
        probabilities = self.shipped.copy()
        if self.two_classes:
            probabilities[:, NEUTRAL] = 0
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == self.labels


@dataclass(frozen=True)
class Evaluation:
    """All that one run measured."""

    splits: list[TestSplit]
    gate: GateResult

    def comparison(self) -> str:
        """A Markdown table: each test split, our models and their peers, by the split's measure."""
        peers = list(self.splits[0].peers)
        seeds = max(len(split.seeds) for split in self.splits)
        rows = [
            [
                "test split", "texts", "measure", "ours",
                *([f"ours, {seeds} seeds"] if seeds else []), *peers, "published",
            ]
        ]  # fmt: skip
        for split in self.splits:
            figures = [split.scored(split.shipped)[split.measure]]
            figures += [split.scored(scores)[split.measure] for scores in split.peers.values()]
            cells = [f"{100 * figure:.1f}" for figure in figures]
            if split.seeds:
                of_seeds = [100 * split.scored(scores)[split.measure] for scores in split.seeds]
                cells.insert(1, f"{np.mean(of_seeds):.1f} ± {np.std(of_seeds, ddof=1):.1f}")
            elif seeds:
                cells.insert(1, "")
            measure = split.measure.replace("_f1", "-F1")
            rows.append([split.name, f"{len(split.examples):,}", measure, *cells, split.published])
        return _markdown(rows)

    def details(self) -> str:
        """A Markdown table about the shipped model alone: calibration, neutral, near-duplicates."""
        rows = [
            [
                "test split", "accuracy", "macro-F1", "calibration error",
                "certain", "accuracy where certain", "answered neutral", "near-duplicates",
            ]
        ]  # fmt: skip
        for split in self.splits:
            scored = split.scored(split.shipped)
            confidences, right = split.decided()
            certain = ~split.uncertain
            neutral = (split.shipped.argmax(axis=1) == NEUTRAL).mean()
            rows.append(
                [
                    split.name,
                    *(f"{100 * scored[name]:.1f}" for name in ("accuracy", "macro_f1")),
                    f"{calibration_error(confidences, right):.3f}",
                    f"{100 * certain.mean():.1f}",
                    f"{100 * right[certain].mean():.1f}" if certain.any() else "",
                    f"{100 * neutral:.1f}",
                    f"{100 * split.near_duplicates:.1f}",
                ]
            )
        return _markdown(rows)


def evaluate(
    config: RunConfig,
    data: Path,
    model: Path,
    *,
    seeds: Sequence[Path] = (),
    official: Sequence[Path] = (),
    peers: bool = False,
) -> Evaluation:
    """Measures on all rows of every test split, as published.

    Args:
        config: names the sources.
        data: the directory of their files.
        model: the directory of the artifact that ships.
        seeds: artifacts of the same recipe with other seeds; the one that ships counts among them.
        official: artifacts that were tuned on ChnSentiCorp's own rows, which hold 28% of its test
            texts, from the one that ships and from those of other seeds, in this order.
        peers: whether to train and score the peers too, which takes minutes.

    Raises:
        DataError: no source has a test split, or a file cannot be used.
        ArtifactError: an artifact cannot be used.
    """
    classifier = Classifier.load(model)
    splits = _measure_all(config, data, classifier, [*map(Classifier.load, seeds)], peers)
    if not splits:
        raise DataError("the configuration names no test split")
    if official:
        tuned, *others = map(Classifier.load, official)
        splits += _measure_all(load_config(OFFICIAL), data, tuned, others, peers)
    return Evaluation(splits, run_gate(classifier))


def _measure_all(
    config: RunConfig,
    data: Path,
    classifier: Classifier,
    others: Sequence[Classifier],
    peers: bool,
) -> list[TestSplit]:
    """All test splits of a configuration, the peers trained on its training rows."""
    tests = [(source, load_test(source, data)) for source in config.data.sources if source.test]
    if not tests:
        return []
    rows = load_splits(config.data, data).train
    trained: list[Peer] = [peer(config, rows) for peer in PEERS] if peers else []
    near = _Ends(rows)
    return [
        _measure(source, examples, near, classifier, others, trained) for source, examples in tests
    ]


def _measure(
    source: SourceConfig,
    examples: list[Example],
    near: "_Ends",
    classifier: Classifier,
    others: Sequence[Classifier],
    peers: Sequence[Peer],
) -> TestSplit:
    texts = [example.text for example in examples]
    shipped, uncertain = _answers(classifier, texts, source.name)
    seeds = [_answers(other, texts, source.name)[0] for other in others]
    return TestSplit(
        name=source.name,
        two_classes=source.two_classes,
        published=source.published,
        examples=examples,
        near_duplicates=near.share(texts),
        shipped=shipped,
        uncertain=uncertain,
        seeds=[shipped, *seeds] if seeds else [],
        peers={peer.name: peer.decide(texts) for peer in peers},
    )


class _Ends:
    """The first and last characters of training texts, to find texts that are nearly the same."""

    def __init__(self, train: Sequence[Example]) -> None:
        self._seen = {end for example in train for end in self._ends(example.text)}

    def share(self, texts: Sequence[str]) -> float:
        """The share of the texts that begin or end as a training text does."""
        return sum(not self._seen.isdisjoint(self._ends(text)) for text in texts) / len(texts)

    @staticmethod
    def _ends(text: str) -> list[str]:
        stripped = stripped_text(text)
        if len(stripped) < _NEAR_CHARACTERS:
            return []
        return ["^" + stripped[:_NEAR_CHARACTERS], "$" + stripped[-_NEAR_CHARACTERS:]]


def _answers(
    classifier: Classifier, texts: Sequence[str], name: str
) -> tuple[Scores, NDArray[np.bool_]]:
    """Probabilities (texts, labels), and which answers are uncertain (texts,)."""
    with Progress(name, len(texts)) as progress:
        predictions = list(classifier.predict(texts, progress))
    probabilities = np.array([prediction.probabilities for prediction in predictions])
    return probabilities, np.array([prediction.uncertain for prediction in predictions])


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)
