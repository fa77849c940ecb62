"""The model card that a training run writes; an evaluation puts its figures into it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from model.artifact import Artifact
from model.config import LABELS, DistilConfig, RunConfig, SourceConfig
from model.corpora import Example, Splits
from model.training.calibration import MIN_DEV_TEXTS, Calibration
from model.training.templates import CURATED_SOURCE, SHIPPED_SOURCE, TEMPLATE_SOURCE

BEGIN_FIGURES = "<!-- evaluation -->"
END_FIGURES = "<!-- end of evaluation -->"

_TEMPLATE = Path(__file__).with_suffix(".md")
# What one core and one GPU draw at full load, without cooling and the rest of the machine.
_WATTS_PER_CORE = 10
_WATTS_PER_GPU = 700
_SYNTHETIC = {
    TEMPLATE_SOURCE: "this project, from templates",
    CURATED_SOURCE: "this project, written one by one by a large language model",
}


@dataclass(frozen=True)
class RunSummary:
    """What a card says about a run.

    Attributes:
        config: the run's.
        splits: the labelled texts as they were read.
        train: the rows that fine-tuning saw.
        calibration: what was fitted on dev, and the scores there.
        start: the artifact that training started from, if any.
        stopwords: how many there are.
        core_hours: what the run took on a CPU.
        gpu_hours: what it took on a GPU.
    """

    config: RunConfig
    splits: Splits
    train: Sequence[Example]
    calibration: Calibration
    start: Artifact | None
    stopwords: int
    core_hours: float
    gpu_hours: float


def model_card(run: RunSummary) -> str:
    """Return a Markdown card with Hugging Face's metadata."""
    config = run.config
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in run.splits.left_out.items())
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=config.name,
        version=config.version,
        embedding_size=config.network.embedding_size,
        hidden_size=config.network.hidden_size,
        origin=_origin(run),
        seed=config.finetuning_seed,
        stopwords=run.stopwords,
        notes=config.data.notes,
        begin_figures=BEGIN_FIGURES,
        end_figures=END_FIGURES,
        teachers=_teachers(config.distil) if config.distil else "",
        data_rows=_data_rows(run),
        unlabelled_rows=_unlabelled_rows(config),
        left_out=left_out or "nothing",
        score_rows=_score_rows(run.calibration.scores),
        bound=_bound(run),
        cost=_cost(run.core_hours, run.gpu_hours),
    )


def _origin(run: RunSummary) -> str:
    """Return what came before the training on labelled texts, as a clause."""
    if run.start:
        replay = run.config.replay
        beside = f"{replay.sentences:,} sentences with its own answers and " if replay else ""
        return f"started from {_release(run.start)}, then {beside}"
    if run.config.pretrain:
        return "first pre-trained as two language models on all texts below, then "
    return ""


def _release(artifact: Artifact) -> str:
    return f"{artifact.manifest.name} {artifact.manifest.version}"


def _bound(run: RunSummary) -> str:
    """Return what the bound of ``uncertain`` means, and what set it."""
    calibration = run.calibration
    if calibration.kept and run.start:
        return (
            "The temperature and the bound of `uncertain` are those of "
            f"{_release(run.start)}, since {calibration.texts} dev texts are too few to fit them "
            f"on; {MIN_DEV_TEXTS} would do."
        )
    bound = (
        "An answer is `uncertain` if its confidence is below the bound from which on the answers "
        f"to {_bound_rows(run.config)} are right "
        f"{100 * run.config.finetune.confident_accuracy:.0f} times in 100; "
        f"{100 * calibration.certain_share:.0f} in 100 of them reach it."
    )
    if calibration.texts < MIN_DEV_TEXTS:
        bound += (
            f" They are only {calibration.texts}, so that it is set where even the lower limit of "
            "the accuracy is so high, and the temperature is at least 1."
        )
    return bound


def _bound_rows(config: RunConfig) -> str:
    """Return the dev rows that the bound of ``uncertain`` was set by, in words."""
    if chosen := config.finetune.choose_by:
        by_name = {source.name: source for source in config.data.sources}
        return f"the dev rows of {', '.join(_described(by_name[name]) for name in chosen)}"
    sources = [source for source in config.data.sources if source.name != SHIPPED_SOURCE]
    if all(source.two_classes for source in sources):
        return "dev rows"
    return "dev rows that could be neutral"


def _described(source: SourceConfig) -> str:
    """Return the name of a set, and which of its dev rows count."""
    rows = " and ".join(f"{column} is {value}" for column, value in source.calibrate_on.items())
    return f"{source.name} where {rows}" if rows else source.name


def _teachers(settings: DistilConfig) -> str:
    """Return the section about the networks whose answers were averaged."""
    share = 1 / (settings.networks + len(settings.teachers))
    taught_by = [
        (f"network {number} of this recipe, another seed", "this project", "as ours")
        for number in range(1, settings.networks + 1)
    ]
    taught_by += [(teacher.name, teacher.origin, teacher.licence) for teacher in settings.teachers]
    rows = "\n".join(
        f"| {name} | {share:.0%} | {origin} | {licence} |" for name, origin, licence in taught_by
    )
    return f"""## What taught it

Besides the labels, the network learned from the averaged answers of these networks to the same
texts (distillation: Hinton et al., 2015). They are not needed to use it.

| teacher | share of the average | origin | licence |
|---|---:|---|---|
{rows}

"""


def _unlabelled_rows(config: RunConfig) -> str:
    if config.pretrain is None:
        return ""
    return "".join(
        f"| {source.name} | {source.sample:.0%} of it, without labels | | "
        f"| {source.origin} | {source.licence} |\n"
        for source in config.pretrain.unlabelled
    )


def _data_rows(run: RunSummary) -> str:
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for example in run.train:
        counts[example.source][example.label] += 1
    dev = Counter(example.source for example in run.splits.dev)
    sets = [(source.name, source.origin, source.licence) for source in run.config.data.sources]
    sets += [(name, origin, "Apache-2.0") for name, origin in _SYNTHETIC.items() if name in counts]
    rows = []
    for name, origin, licence in sets:
        labels = [counts[name][index] for index in range(len(LABELS))]
        each = ", ".join(f"{count:,}" for count in labels)
        had = ", ".join(label for label, count in zip(LABELS, labels, strict=True) if count)
        rows.append(
            f"| {name} | {sum(labels):,} ({each}) | {dev[name]:,} | {had} | {origin} | {licence} |"
        )
    return "\n".join(rows)


def _score_rows(scores: dict[str, dict[str, float]]) -> str:
    return "\n".join(
        f"| {name} | {values['texts']:,.0f} | {values['accuracy']:.3f} | {values['macro_f1']:.3f} |"
        for name, values in scores.items()
        if name != "mean"
    )


def _cost(core_hours: float, gpu_hours: float) -> str:
    parts = [
        f"{hours:.2f} {unit}, at {watts} watts about {hours * watts:.0f} watt-hours"
        for hours, unit, watts in (
            (core_hours, "core-hours on a CPU", _WATTS_PER_CORE),
            (gpu_hours, "hours on a GPU", _WATTS_PER_GPU),
        )
        if hours
    ]
    return "; ".join(parts)
