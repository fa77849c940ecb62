"""Commands that score a model: on the test splits, and by the release check."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model.engines import EngineChoice
from service.commands.options import (
    DIRECTORY,
    config_option,
    data_directory,
    engine_option,
    log_to_terminal,
    model_option,
)

if TYPE_CHECKING:
    from model.evaluation.results import Evaluation


@click.command()
@config_option("Configuration that names the test sets.")
@model_option
@click.option("--seed-model", type=DIRECTORY, multiple=True, help="Same recipe, other seed.")
@click.option("--official", type=DIRECTORY, multiple=True, help="Tuned on ChnSentiCorp's rows.")
@click.option("--baselines", is_flag=True, help="Train other classifiers and score them too.")
@click.option("--previous", type=DIRECTORY, help="Artifact of an earlier release to score too.")
@click.option("--teacher", type=DIRECTORY, help="Fine-tuned teacher to score too.")
@click.option("--card", is_flag=True, help="Write the figures into the artifact's model card.")
@click.option("--figures", type=DIRECTORY, help="Directory to draw pictures into.")
@click.option(
    "--document",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, writable=True),
    multiple=True,
    help="Markdown file to write tables into, between its marks; repeatable.",
)
def evaluate(
    config: str,
    model: Path,
    seed_model: tuple[Path, ...],
    official: tuple[Path, ...],
    baselines: bool,
    previous: Path | None,
    teacher: Path | None,
    card: bool,
    figures: Path | None,
    document: tuple[Path, ...],
) -> None:
    """Print how accurate an artifact is on each test split.

    First come the splits that are divided into groups and the sentences by kind of expression,
    then a table that compares all splits, then one with more about the model alone. --seed-model
    and --official may be given several times; the first --official is tuned from the model itself.

    A --document takes a table between the lines <!-- NAME:begin --> and <!-- NAME:end -->, where
    NAME is comparison, details, kinds or a split with groups; NAME-zh has headings in Chinese.
    """
    from model.config import load_config
    from model.evaluation.documents import block_names, replace_block
    from model.evaluation.evaluate import evaluate as run_evaluation
    from model.training.distil import load_teacher

    log_to_terminal()
    blocks = {path: block_names(path) for path in document}
    if empty := [path for path, names in blocks.items() if not names]:
        raise click.UsageError(f"{empty[0]} has no line <!-- NAME:begin --> to write after")
    evaluation = run_evaluation(
        load_config(config),
        data_directory(),
        model,
        seeds=seed_model,
        official=official,
        baselines=baselines,
        previous=previous,
        teacher=None if teacher is None else load_teacher(teacher),
    )
    tables = evaluation.tables()
    click.echo("\n\n".join(tables[name] for name in tables if not name.endswith("-zh")))
    click.echo(f"\n{evaluation.release_check.report()}")
    for path, names in blocks.items():
        written = [name for name in names if name in tables]
        for name in written:
            replace_block(name, tables[name], path)
        logging.info("%s: wrote %s", path, ", ".join(written) or "nothing")
    if figures:
        _draw(evaluation, figures)
    if card:
        from model.evaluation.model_card import write_evaluation

        write_evaluation(model, evaluation)


def _draw(evaluation: "Evaluation", directory: Path) -> None:
    from model.evaluation.figures import draw_confusion, draw_lengths, draw_reliability

    directory.mkdir(parents=True, exist_ok=True)
    draw_confusion(evaluation.splits, directory / "confusion.png")
    draw_lengths(evaluation.splits, directory / "lengths.png")
    draw_reliability(evaluation.splits, directory / "reliability.png")


@click.command("release-check")
@model_option
@engine_option
def release_check(model: Path, engine: EngineChoice) -> None:
    r"""Run the release check: exit code 0 if the model may be released, else 1.

    \b
    sentiment release-check --model runs/mine/artifact
    """
    from model import Classifier
    from model.evaluation.release_check import run_release_check

    result = run_release_check(Classifier.load(model, engine=engine))
    click.echo(result.report())
    sys.exit(0 if result.passed else 1)
