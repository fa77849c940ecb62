"""What an evaluation measured, and its tables.

Letters in the shapes: N texts or sentences, L labels.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model.config import LABELS, NEUTRAL, SourceConfig
from model.corpora import Example, KindSentence
from model.evaluation.baselines import Scores
from model.evaluation.release_check import ReleaseCheckResult
from model.scores import (
    accuracy_and_macro_f1,
    calibration_error,
    calibration_error_by_chance,
    predicted_labels,
)

OTHER = "other"  # the groups of too few texts, together
ALL = "all"

_SEEDS = re.compile(r"ours, (\d+) seeds")
_MIN_GROUP_TEXTS = 15
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
    "all": "合计",
    "other": "其他",
    "bank_reviews": "银行评价",
    "covid_weibo": "疫情微博",
    "danmaku_bilibili": "B 站弹幕",
    "education_teacher_reviews": "教师评价",
    "film_reviews": "影评",
    "finance_forum": "股吧帖子",
    "finance_news": "财经新闻",
    "game_reviews": "游戏评价",
    "hk_lihkg": "香港连登帖子",
    "hk_restaurant_openrice": "香港餐馆点评",
    "jd_shop": "京东评价",
    "music_comments": "音乐评论",
    "restaurant_reviews": "餐馆点评",
    "shop_reviews": "网购评价",
    "social_comments": "社交平台评论",
    "tw_ptt": "台湾 PTT 帖子",
    "weibo_reposts": "微博转发",
}


@dataclass(frozen=True)
class Answers:
    """The scores (N, L) that each model gave for N texts.

    Attributes:
        shipped: those of the model that ships, its probabilities.
        uncertain: (N,) which of its answers are uncertain.
        seeds: ``shipped``, and the same recipe's scores with other seeds; or nothing.
        baselines: by the name of the model.
    """

    shipped: Scores
    uncertain: NDArray[np.bool_]
    seeds: list[Scores]
    baselines: dict[str, Scores]

    def select(self, rows: NDArray[np.bool_]) -> "Answers":
        """Return the answers to the texts that a mask (N,) selects."""
        return Answers(
            self.shipped[rows],
            self.uncertain[rows],
            [scores[rows] for scores in self.seeds],
            {name: scores[rows] for name, scores in self.baselines.items()},
        )


@dataclass(frozen=True)
class TestSplit:
    """A test split of N texts and what each model answered; ``near_duplicates`` is (N,)."""

    name: str
    source: SourceConfig
    examples: list[Example]
    near_duplicates: NDArray[np.bool_]
    answers: Answers

    __test__ = False  # pytest would take it for a test by its name

    @property
    def labels(self) -> NDArray[np.int64]:
        """The right labels (N,)."""
        return np.array([example.label for example in self.examples])

    @property
    def measures(self) -> tuple[str, ...]:
        """What it is compared by: accuracy for two classes, else macro-F1; both with groups."""
        if self.source.two_classes:
            return ("accuracy",)
        return ("accuracy", "macro_f1") if self.source.group_column else ("macro_f1",)

    def scored(self, scores: Scores) -> dict[str, float]:
        """Return accuracy and macro-F1 of one model."""
        return accuracy_and_macro_f1(
            self.labels.tolist(), predicted_labels(scores, self.source.two_classes)
        )

    def measured(self, measure: str, scores: Scores) -> float:
        """Return one of the ``measures`` of one model."""
        return self.scored(scores)[measure]

    def decisions(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the confidence of each answer of the shipped model, and whether it is correct.

        Both are (N,). Against two-class labels, the confidence of the likelier of the two, with
        neutral left out.
        """
        probabilities = self.answers.shipped.copy()
        if self.source.two_classes:
            probabilities[:, NEUTRAL] = 0
            probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities.max(axis=1), probabilities.argmax(axis=1) == self.labels

    def parts(self) -> list["TestSplit"]:
        """Return the split by group, the largest first, groups of few texts together as ``other``.

        An empty list if its set has no groups.
        """
        if self.source.group_column is None:
            return []
        counts = Counter(example.group for example in self.examples)
        large = [group for group, count in counts.most_common() if count >= _MIN_GROUP_TEXTS]
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
            answers=self.answers.select(rows),
        )

    def quality(self) -> list[str]:
        """Return the cells of the columns ``_QUALITY``, about the shipped model."""
        scored = self.scored(self.answers.shipped)
        confidences, correct = self.decisions()
        certain = ~self.answers.uncertain
        return [
            *(_percent(scored[name]) for name in _MEASURES),
            _percent(certain.mean()),
            _percent(correct[certain].mean()) if certain.any() else "",
            f"{calibration_error(confidences, correct):.3f}",
            f"{calibration_error_by_chance(confidences):.3f}",
        ]

    def by_group(self) -> str:
        """Return a Markdown table of all groups and the whole, the baselines' accuracy last."""
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
    """N sentences by kind of expression, and what each model answered."""

    sentences: list[KindSentence]
    answers: Answers

    def correct(self, scores: Scores) -> NDArray[np.bool_]:
        """Return whether a model gave one of the right labels, (N,)."""
        chosen = scores.argmax(axis=1)
        return np.array([c in s.labels for c, s in zip(chosen, self.sentences, strict=True)])

    def accuracy(self, scores: Scores) -> float:
        """Return the share of the sentences that a model answered correctly."""
        return float(self.correct(scores).mean())

    def opposite(self) -> NDArray[np.bool_]:
        """Return whether the shipped model took praise for blame, or blame for praise, (N,)."""
        chosen = self.answers.shipped.argmax(axis=1)
        correct = self.correct(self.answers.shipped)
        others = [len(LABELS) - 1 - choice for choice in chosen]  # neutral is its own
        return np.array(
            [
                not is_correct and other in sentence.labels
                for is_correct, other, sentence in zip(correct, others, self.sentences, strict=True)
            ]
        )

    def table(self) -> str:
        """Return a Markdown table: how many sentences of each kind, and of all, are correct."""
        rows = [["kind", "sentences", "right", "opposite", *self.answers.baselines]]
        of_models = [self.correct(self.answers.shipped), self.opposite()]
        of_models += [self.correct(scores) for scores in self.answers.baselines.values()]
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
    """A row of the comparison; ``measured`` gives a measure, a share, of one model's scores."""

    name: str
    texts: int
    measure: str
    answers: Answers
    published: str
    measured: Callable[[Scores], float]


@dataclass(frozen=True)
class Evaluation:
    """Everything that one run measured; splits with groups come first."""

    splits: list[TestSplit]
    kinds: KindTest | None
    release_check: ReleaseCheckResult

    @property
    def grouped(self) -> list[TestSplit]:
        """The splits with groups."""
        return [split for split in self.splits if split.source.group_column]

    def comparison(self) -> str:
        """Return a Markdown table of every test split and the kinds, ours and the baselines."""
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
            ours = _percent(row.measured(row.answers.shipped))
            cells = [row.name, f"{row.texts:,}", row.measure, ours]
            if seeds:
                cells.append(_spread([row.measured(scores) for scores in row.answers.seeds]))
            for name in baselines:
                scores = row.answers.baselines.get(name)
                cells.append("" if scores is None else _percent(row.measured(scores)))
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
        """Return a Markdown table about the shipped model: calibration, neutral, duplicates."""
        rows = [["test split", *_QUALITY, "answered neutral", "near-duplicates"]]
        for split in self.splits:
            neutral = (split.answers.shipped.argmax(axis=1) == NEUTRAL).mean()
            near = split.near_duplicates.mean()
            rows.append([split.name, *split.quality(), _percent(neutral), _percent(near)])
        return _markdown(rows)

    def tables(self) -> dict[str, str]:
        """Return every table by the name of its block in a document.

        That of a split with groups is the split's. ``-zh`` after a name means Chinese headings.
        """
        tables = {split.name: split.by_group() for split in self.grouped}
        if self.kinds:
            tables["kinds"] = self.kinds.table()
        tables |= {"comparison": self.comparison(), "details": self.details()}
        return tables | {f"{name}-zh": in_chinese(table) for name, table in tables.items()}


def in_chinese(table: str) -> str:
    """Return a table with its headings, measures and domains in Chinese."""
    lines = []
    for line in table.split("\n"):
        cells = [_CHINESE.get(cell, cell) for cell in line[2:-2].split(" | ")]
        cells = [_SEEDS.sub(r"本模型，\1 个种子", cell) for cell in cells]
        lines.append(line if line.startswith("|---") else f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _spread(shares: Sequence[float]) -> str:
    """Return mean and standard deviation in percent; an empty string without shares."""
    if not shares:
        return ""
    return f"{100 * np.mean(shares):.1f} ± {100 * np.std(shares, ddof=1):.1f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)
