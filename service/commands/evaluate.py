"""Commands that score a model: on the test splits, and by the release check."""

import logging
import sys
from collections.abc import Callable, Iterator
from gettext import gettext as _
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from model import DataError
from model.engines import EngineChoice
from model.errors import printable
from service.commands.options import (
    DIRECTORY,
    FILE,
    config_option,
    data_directory,
    engine_option,
    labelled_options,
    log_to_terminal,
    model_option,
)
from service.commands.terminal import aligned, shortened

if TYPE_CHECKING:
    from model.bulk.labelled import LabelledRows
    from model.evaluation.own_file import FileEvaluation
    from model.evaluation.results import Evaluation

# What a line of a terminal holds; texts are cut to it.
_LINE_CELLS = 100


class _ScoredOptions(TypedDict):
    """What is scored on the test splits beside the model, and where the figures go."""

    seed_model: tuple[Path, ...]
    official: tuple[Path, ...]
    baselines: bool
    previous: Path | None
    teacher: Path | None
    card: bool
    document: tuple[Path, ...]


@click.command()
@click.argument("file", type=FILE, required=False)
@labelled_options
@config_option("Configuration that names the test sets.")
@model_option
@click.option("--seed-model", type=DIRECTORY, multiple=True, help="Same recipe, other seed.")
@click.option("--official", type=DIRECTORY, multiple=True, help="Tuned on ChnSentiCorp's rows.")
@click.option("--baselines", is_flag=True, help="Train other classifiers and score them too.")
@click.option("--previous", type=DIRECTORY, help="Artifact of an earlier release to score too.")
@click.option("--teacher", type=DIRECTORY, help="Fine-tuned teacher to score too.")
@click.option("--card", is_flag=True, help="Write the figures into the artifact's model card.")
@click.option(
    "--figures",
    type=DIRECTORY,
    help="Directory to draw pictures into; of FILE, by default NAME.evaluation beside it.",
)
@click.option(
    "--document",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, writable=True),
    multiple=True,
    help="Markdown file to write tables into, between its marks; repeatable.",
)
def evaluate(
    file: Path | None,
    read: "Callable[[Path], LabelledRows]",
    config: str,
    model: Path,
    figures: Path | None,
    **scored: Unpack[_ScoredOptions],
) -> None:
    r"""Print how good a model is on FILE, a table of texts and labels, or on every test split.

    \b
    sentiment evaluate labelled.xlsx --model runs/adapted/artifact
    sentiment evaluate labelled.csv --labels 好评=positive,差评=negative

    FILE has any form that `sentiment predict` takes; its columns and labels are found and told.
    What is printed: accuracy, macro-F1, confusion, what remains from which confidence on, whether
    confidence can be trusted, and the rows that are most confidently wrong.

    The other options are for the test splits of a configuration, in the directory that
    SENTIMENT_DATA names. First come the splits that are divided into groups and the sentences by
    kind of expression, then a table that compares all splits, then one with more about the model
    alone. --seed-model and --official may be given several times; the first --official is tuned
    from the model itself.

    A --document takes a table between the lines <!-- NAME:begin --> and <!-- NAME:end -->, where
    NAME is comparison, details, kinds or a split with groups; NAME-zh has headings in Chinese.
    """
    log_to_terminal()
    if file is not None:
        if any(scored.values()):
            raise click.UsageError(_("with a FILE, only --model and --figures go with it"))
        _evaluate_file(read(file), model, figures or file.with_name(f"{file.stem}.evaluation"))
        return
    _evaluate_splits(config, model, figures, **scored)


def _evaluate_splits(
    config: str, model: Path, figures: Path | None, **scored: Unpack[_ScoredOptions]
) -> None:
    from model.config import load_config
    from model.evaluation.documents import block_names, replace_block
    from model.evaluation.evaluate import evaluate as run_evaluation
    from model.training.distil import load_teacher

    blocks = {path: block_names(path) for path in scored["document"]}
    if empty := [path for path, names in blocks.items() if not names]:
        raise click.UsageError(f"{empty[0]} has no line <!-- NAME:begin --> to write after")
    evaluation = run_evaluation(
        load_config(config),
        data_directory(),
        model,
        seeds=scored["seed_model"],
        official=scored["official"],
        baselines=scored["baselines"],
        previous=scored["previous"],
        teacher=load_teacher(scored["teacher"]) if scored["teacher"] else None,
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
    if scored["card"]:
        from model.evaluation.model_card import write_evaluation

        write_evaluation(model, evaluation)


def _evaluate_file(labelled: "LabelledRows", model: Path, figures: Path) -> None:
    from model import Classifier
    from model.evaluation.own_file import evaluate_file

    evaluation = evaluate_file(labelled, Classifier.load(model))
    click.echo(printable("\n".join([*evaluation.summary(), *_shown_tables(evaluation)])))
    try:
        pictures = evaluation.draw(figures)
    except OSError as error:
        raise DataError(
            _("{filename}: {strerror}; name another directory by --figures").format(
                filename=error.filename or figures, strerror=error.strerror or error
            )
        ) from None
    drawn = _(", ").join(map(str, pictures))
    click.echo(printable("\n" + _("pictures: {drawn}").format(drawn=drawn)))


def _shown_tables(evaluation: "FileEvaluation") -> Iterator[str]:
    for table in evaluation.tables():
        yield f"\n{table.title}"
        if table.note:
            yield "  " + _("({note})").format(note=table.note)
        rows = [table.head, *table.rows]
        # Words stand to the left: the first column, and those that follow only words.
        left = {
            index
            for index, column in enumerate(zip(*table.rows, strict=True))
            if not any(cell[:1].isdecimal() for cell in column)
        } | ({len(table.head) - 1} if table.head[-1] == _("text") else set())
        for line in aligned(rows, left=left):
            yield f"  {shortened(line, _LINE_CELLS)}"


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
