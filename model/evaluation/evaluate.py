"""Scores on the test splits, ours beside others', all measured in one run on the same texts."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.classifier import Classifier
from model.config import LABELS, NEUTRAL, RunConfig, SourceConfig, load_config
from model.corpora import (
    Example,
    KindSentence,
    load_kinds,
    load_splits,
    load_test,
    stripped_text,
)
from model.errors import DataError
from model.evaluation.baselines import (
    BASELINES,
    Baseline,
    Release,
    Scores,
    Teacher,
    TeacherBaseline,
)
from model.evaluation.release_check import ReleaseCheckResult, run_release_check
from model.progress import Progress
from model.scores import (
    accuracy_and_macro_f1,
    calibration_error,
    calibration_error_by_chance,
    predicted_labels,
)

logger = logging.getLogger(__name__)

OFFICIAL = "chnsenticorp-official"
OTHER = "other"  # groups of too few texts, together
ALL = "all"

_SEEDS = re.compile(r"ours, (\d+) seeds")
_NEAR_CHARACTERS = 20
_FEWEST_TEXTS = 15  # that a group is measured by
_MEASURES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
_QUALITY = (
    "accuracy", "macro-F1", "certain", "accuracy where certain", "calibration error", "by chance",
)  # fmt: skip
_CHINESE = {
    "domain": "领域",
    "kind": "表达方式",
    "texts": "文本数",
    "sentences": "句数",
    "test split": "测试集",
    "measure": "指标",
    "ours": "本模型",
    "right": "答对",
    "opposite": "答反",
    "published": "公开数字",
    "accuracy": "准确率",
    "macro-F1": "宏平均 F1",
    "certain": "有把握",
    "accuracy where certain": "有把握时的准确率",
    "calibration error": "校准误差",
    "by chance": "偶然误差",
    "answered neutral": "答中性",
    "near-duplicates": "近似重复",
    "linear": "线性模型",
    "teacher": "教师模型",
}


@dataclass(frozen=True)
class Answers:
    """What each model made of some texts; scores and probabilities are (texts, labels).

    ``uncertain`` is (texts,). ``seeds`` holds ``shipped`` and the same recipe's answers with other
    seeds, or nothing.
    """

    shipped: Scores
    uncertain: NDArray[np.bool_]
    seeds: list[Scores]
    baselines: dict[str, Scores]

    def of(self, rows: NDArray[np.bool_]) -> "Answers":
        """The answers to those texts alone that ``rows`` (texts,) is true for."""
        return Answers(
            self.shipped[rows],
            self.uncertain[rows],
            [scores[rows] for scores in self.seeds],
            {name: scores[rows] for name, scores in self.baselines.items()},
        )


@dataclass(frozen=True)
class TestSplit:
    """A test split and what each model made of it; ``near_duplicates`` is (texts,)."""

    name: str
    source: SourceConfig
    examples: list[Example]
    near_duplicates: NDArray[np.bool_]
    answers: Answers

    __test__ = False  # no test, whatever pytest makes of the name

    @property
    def labels(self) -> NDArray[np.int64]:
        """(texts,) the right ones."""
        return np.array([example.label for example in self.examples])

    @property
    def measures(self) -> tuple[str, ...]:
        """What the split is judged by: accuracy for two classes, else macro-F1; by group, both."""
        if self.source.two_classes:
            return ("accuracy",)
        return ("accuracy", "macro_f1") if self.source.group_column else ("macro_f1",)

    def scored(self, scores: Scores) -> dict[str, float]:
        """Accuracy and macro-F1 of one model."""
        return accuracy_and_macro_f1(
            self.labels.tolist(), predicted_labels(scores, self.source.two_classes)
        )

    def measured(self, measure: str, scores: Scores) -> float:
        """One of the ``measures`` of one model."""
        return self.scored(scores)[measure]

    def decided(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(texts,) confidence of the shipped model, and whether it was right.

        Against two-class labels, the confidence that the likelier of the two has beside the other.
        """
        probabilities = self.answers.shipped.copy()
        if self.source.two_classes:
            probabilities[:, NEUTRAL] = 0
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == self.labels

    def parts(self) -> list["TestSplit"]:
        """The split by group, the largest first, groups of few texts together as ``other``.

        Nothing where its source names no group.
        """
        if self.source.group_column is None:
            return []
        counts = Counter(example.group for example in self.examples)
        large = [group for group, count in counts.most_common() if count >= _FEWEST_TEXTS]
        groups = np.array([e.group if e.group in large else OTHER for e in self.examples])
        return [
            self._part(name, rows)
            for name in dict.fromkeys([*large, OTHER])
            if (rows := groups == name).any()
        ]

    def _part(self, name: str, rows: NDArray[np.bool_]) -> "TestSplit":
        return replace(
            self,
            name=name,
            examples=[self.examples[index] for index in np.flatnonzero(rows)],
            near_duplicates=self.near_duplicates[rows],
            answers=self.answers.of(rows),
        )

    def quality(self) -> list[str]:
        """The cells that stand under ``_QUALITY``, about the shipped model."""
        scored = self.scored(self.answers.shipped)
        confidences, right = self.decided()
        certain = ~self.answers.uncertain
        return [
            *(_percent(scored[name]) for name in _MEASURES),
            _percent(certain.mean()),
            _percent(right[certain].mean()) if certain.any() else "",
            f"{calibration_error(confidences, right):.3f}",
            f"{calibration_error_by_chance(confidences):.3f}",
        ]

    def by_group(self) -> str:
        """A Markdown table: each group, then all of them, the accuracy of the baselines last."""
        column = self.source.group_column or "group"
        rows = [[column, "texts", *_QUALITY, *self.answers.baselines]]
        for part in [*self.parts(), replace(self, name=ALL)]:
            baselines = [
                _percent(part.scored(s)["accuracy"]) for s in part.answers.baselines.values()
            ]
            rows.append([part.name, f"{len(part.examples):,}", *part.quality(), *baselines])
        return _markdown(rows)


@dataclass(frozen=True)
class KindTest:
    """Sentences by kind of expression, and what each model made of them."""

    sentences: list[KindSentence]
    answers: Answers

    def right(self, scores: Scores) -> NDArray[np.bool_]:
        """(sentences,) whether a model gave one of the labels that are right."""
        chosen = scores.argmax(axis=1)
        return np.array([c in s.labels for c, s in zip(chosen, self.sentences, strict=True)])

    def accuracy(self, scores: Scores) -> float:
        """The share of the sentences that a model read rightly."""
        return float(self.right(scores).mean())

    def opposite(self) -> NDArray[np.bool_]:
        """(sentences,) whether the shipped model took praise for blame, or blame for praise."""
        chosen = self.answers.shipped.argmax(axis=1)
        right = self.right(self.answers.shipped)
        others = [len(LABELS) - 1 - choice for choice in chosen]  # neutral is its own
        return np.array(
            [
                not is_right and other in sentence.labels
                for is_right, other, sentence in zip(right, others, self.sentences, strict=True)
            ]
        )

    def table(self) -> str:
        """A Markdown table: how many sentences of each kind were read rightly, and of all."""
        rows = [["kind", "sentences", "right", "opposite", *self.answers.baselines]]
        of_models = [self.right(self.answers.shipped), self.opposite()]
        of_models += [self.right(scores) for scores in self.answers.baselines.values()]
        kinds = np.array([sentence.kind for sentence in self.sentences])
        for kind in dict.fromkeys(kinds.tolist()):
            rows.append(_counts(kind, kinds == kind, of_models))
        rows.append(_counts(ALL, np.full(len(kinds), True), of_models))
        return _markdown(rows)


def _counts(
    name: str, inside: NDArray[np.bool_], of_models: Sequence[NDArray[np.bool_]]
) -> list[str]:
    return [name, str(inside.sum()), *(str(found[inside].sum()) for found in of_models)]


@dataclass(frozen=True)
class _Compared:
    """A row of the comparison: how a measure, a share, is taken of one model's scores."""

    name: str
    texts: int
    measure: str
    answers: Answers
    published: str
    take: Callable[[Scores], float]


@dataclass(frozen=True)
class Evaluation:
    """All that one run measured; splits that are told apart by group come first."""

    splits: list[TestSplit]
    kinds: KindTest | None
    release_check: ReleaseCheckResult

    @property
    def grouped(self) -> list[TestSplit]:
        """The splits that are told apart by group."""
        return [split for split in self.splits if split.source.group_column]

    def comparison(self) -> str:
        """A Markdown table: each test split and the kinds, our models and the baselines."""
        compared = self._compared()
        baselines = list(dict.fromkeys(name for row in compared for name in row.answers.baselines))
        seeds = max(len(row.answers.seeds) for row in compared)
        rows = [
            [
                "test split", "texts", "measure", "ours",
                *([f"ours, {seeds} seeds"] if seeds else []), *baselines, "published",
            ]
        ]  # fmt: skip
        for row in compared:
            ours = _percent(row.take(row.answers.shipped))
            cells = [row.name, f"{row.texts:,}", row.measure, ours]
            if seeds:
                cells.append(_spread([row.take(scores) for scores in row.answers.seeds]))
            for name in baselines:
                scores = row.answers.baselines.get(name)
                cells.append("" if scores is None else _percent(row.take(scores)))
            rows.append([*cells, row.published])
        return _markdown(rows)

    def _compared(self) -> list[_Compared]:
        rows = [
            _Compared(
                split.name,
                len(split.examples),
                _MEASURES[measure],
                split.answers,
                split.source.published,
                partial(split.measured, measure),
            )
            for split in self.splits
            for measure in split.measures
        ]
        if kinds := self.kinds:
            rows.insert(
                sum(len(split.measures) for split in self.grouped),
                _Compared(
                    "kinds",
                    len(kinds.sentences),
                    _MEASURES["accuracy"],
                    kinds.answers,
                    "",
                    kinds.accuracy,
                ),
            )
        return rows

    def details(self) -> str:
        """A Markdown table about the shipped model alone: calibration, neutral, near-duplicates."""
        rows = [["test split", *_QUALITY, "answered neutral", "near-duplicates"]]
        for split in self.splits:
            neutral = (split.answers.shipped.argmax(axis=1) == NEUTRAL).mean()
            near = split.near_duplicates.mean()
            rows.append([split.name, *split.quality(), _percent(neutral), _percent(near)])
        return _markdown(rows)

    def tables(self) -> dict[str, str]:
        """Every table, by the name of the block of a document that it belongs into.

        A split that is told apart by group gives its name. ``-zh`` after a name asks for headings
        in Chinese.
        """
        tables = {split.name: split.by_group() for split in self.grouped}
        if self.kinds:
            tables["kinds"] = self.kinds.table()
        tables |= {"comparison": self.comparison(), "details": self.details()}
        return tables | {f"{name}-zh": in_chinese(table) for name, table in tables.items()}


def in_chinese(table: str) -> str:
    """A table of ours with its headings in Chinese."""
    heading, rest = table.split("\n", 1)
    cells = [_CHINESE.get(cell, cell) for cell in heading.strip("| ").split(" | ")]
    cells = [_SEEDS.sub(r"本模型，\1 个种子", cell) for cell in cells]
    return f"| {' | '.join(cells)} |\n{rest}"


@dataclass(frozen=True)
class _Models:
    """What is measured: the model that ships, others of its recipe, and baselines."""

    shipped: Classifier
    seeds: list[Classifier]
    baselines: list[Baseline]

    def answer(self, texts: Sequence[str], name: str) -> Answers:
        shipped, uncertain = _answers(self.shipped, texts, name)
        seeds = [_answers(other, texts, name)[0] for other in self.seeds]
        return Answers(
            shipped,
            uncertain,
            [shipped, *seeds] if seeds else [],
            {baseline.name: baseline.scores(texts) for baseline in self.baselines},
        )


def evaluate(
    config: RunConfig,
    data: Path,
    model: Path,
    *,
    seeds: Sequence[Path] = (),
    official: Sequence[Path] = (),
    baselines: bool = False,
    previous: Path | None = None,
    teacher: Teacher | None = None,
) -> Evaluation:
    """Measures on all rows of every test split, as published, and on the sentences by kind.

    Args:
        config: names the sources.
        data: the directory of their files.
        model: the directory of the artifact that ships.
        seeds: artifacts of the same recipe with other seeds; the one that ships counts among them.
        official: artifacts that were tuned on ChnSentiCorp's own rows, which hold 28% of its test
            texts, from the one that ships and from those of other seeds, in this order.
        baselines: whether to train and score the baselines too, which takes minutes.
        previous: the artifact of an earlier release, read by today's way from text to ids.
        teacher: what the model learned from. As ``previous``, it is not tuned on ChnSentiCorp's
            rows, so it stands beside all splits but that one.

    Raises:
        DataError: no source has a test split, or a file cannot be used.
        ArtifactError: an artifact cannot be used.
    """
    if not any(source.test for source in config.data.sources):
        raise DataError("the configuration names no test split")
    shipped = Classifier.load(model)
    others: list[Baseline] = []
    if previous:
        others.append(Release(Classifier.load(previous)))
    if teacher:
        others.append(TeacherBaseline(teacher))
    rows = load_splits(config.data, data).train
    trained = _trained(config, rows) if baselines else []
    models = _Models(shipped, [*map(Classifier.load, seeds)], [*trained, *others])
    splits = _measure(config, data, models, rows)
    sentences = load_kinds(config.data, data)
    kinds = None
    if sentences:
        kinds = KindTest(sentences, models.answer([s.text for s in sentences], "kinds"))
    if official:
        config = load_config(OFFICIAL)
        rows = load_splits(config.data, data).train
        tuned, *more = map(Classifier.load, official)
        trained = _trained(config, rows) if baselines else []
        splits += _measure(config, data, _Models(tuned, more, trained), rows)
    splits.sort(key=lambda split: split.source.group_column is None)
    return Evaluation(splits, kinds, run_release_check(shipped))


def _trained(config: RunConfig, rows: Sequence[Example]) -> list[Baseline]:
    return [baseline(config, rows) for baseline in BASELINES]


def _measure(
    config: RunConfig, data: Path, models: _Models, rows: Sequence[Example]
) -> list[TestSplit]:
    """All test splits of a configuration; ``rows`` are those to train on."""
    near = _Ends(rows)
    splits = []
    for source in config.data.sources:
        if source.test:
            examples = load_test(source, data)
            texts = [example.text for example in examples]
            answers = models.answer(texts, source.name)
            splits.append(TestSplit(source.name, source, examples, near.among(texts), answers))
    return splits


class _Ends:
    """The first and last characters of training texts, to find texts that are nearly the same."""

    def __init__(self, train: Sequence[Example]) -> None:
        self._seen = {end for example in train for end in self._ends(example.text)}

    def among(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) whether each begins or ends as a training text does."""
        return np.array([not self._seen.isdisjoint(self._ends(text)) for text in texts])

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


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _spread(shares: Sequence[float]) -> str:
    """Mean and standard deviation in percent; nothing of nothing."""
    if not shares:
        return ""
    return f"{100 * np.mean(shares):.1f} ± {100 * np.std(shares, ddof=1):.1f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)
