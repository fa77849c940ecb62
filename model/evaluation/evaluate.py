"""Measure the shipped model and the baselines on the test splits, in one run on the same texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.classifier import Classifier
from model.config import RunConfig, load_config
from model.corpora import Example, load_kinds, load_splits, load_test, stripped_text
from model.errors import DataError
from model.evaluation.baselines import (
    BASELINES,
    Baseline,
    Release,
    Scores,
    Teacher,
    TeacherBaseline,
)
from model.evaluation.release_check import run_release_check
from model.evaluation.results import Answers, Evaluation, KindTest, TestSplit
from model.progress import Progress

OFFICIAL = "chnsenticorp-official"

_NEAR_CHARACTERS = 20


@dataclass(frozen=True)
class _Models:
    """The models to measure: the one that ships, others of its recipe, and baselines."""

    shipped: Classifier
    seeds: list[Classifier]
    baselines: list[Baseline]

    def answer(self, texts: Sequence[str], name: str) -> Answers:
        shipped, uncertain = answers_of(self.shipped, texts, name)
        seeds = [answers_of(other, texts, name)[0] for other in self.seeds]
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
    """Measure on all rows of every test split, as published, and on the sentences by kind.

    Args:
        config: names the sets.
        data: the directory of their files.
        model: the directory of the artifact that ships.
        seeds: artifacts of the same recipe with other seeds, besides the one that ships.
        official: artifacts that were tuned on ChnSentiCorp's own rows, which contain 28% of its
            test texts: first from the one that ships, then from those of other seeds.
        baselines: whether to train and score the baselines too, which takes minutes.
        previous: the artifact of an earlier release; today's code encodes its texts.
        teacher: the network that the model learned from. Like ``previous``, it is not tuned on
            ChnSentiCorp's rows, so that split has no scores of it.

    Raises:
        DataError: no set has a test split, or a file cannot be used.
        ArtifactError: an artifact cannot be used.
    """
    if not any(source.test for source in config.data.sources):
        raise DataError("the configuration names no test split; add test files to a set")
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
    """Measure all test splits of a configuration; ``rows`` are its training rows."""
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
    """The first and last characters of training texts, by which near-duplicates are found."""

    def __init__(self, train: Sequence[Example]) -> None:
        self._seen = {end for example in train for end in self._ends(example.text)}

    def among(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each text begins or ends like a training text, (N,)."""
        return np.array([not self._seen.isdisjoint(self._ends(text)) for text in texts])

    @staticmethod
    def _ends(text: str) -> list[str]:
        stripped = stripped_text(text)
        if len(stripped) < _NEAR_CHARACTERS:
            return []
        return ["^" + stripped[:_NEAR_CHARACTERS], "$" + stripped[-_NEAR_CHARACTERS:]]


def answers_of(
    classifier: Classifier, texts: Sequence[str], name: str
) -> tuple[Scores, NDArray[np.bool_]]:
    """Return probabilities (N, L), and which answers are uncertain (N,)."""
    with Progress(name, len(texts)) as progress:
        predictions = list(classifier.predict(texts, progress))
    probabilities = np.array([prediction.probabilities for prediction in predictions])
    return probabilities, np.array([prediction.uncertain for prediction in predictions])
