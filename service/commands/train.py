"""``sentiment train``."""

import shlex
from collections.abc import Callable
from gettext import gettext as _
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.options import (
    DIRECTORY,
    FILE,
    data_directory,
    labelled_options,
    log_to_terminal,
)
from service.commands.terminal import aligned, program_name
from service.settings import SHIPPED_MODEL

if TYPE_CHECKING:
    from model.bulk.labelled import LabelledRows
    from model.corpora import Splits


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--from", "start", help="Artifact to start from: a directory, or zh-general.")
@labelled_options
@click.option("--config", help="TOML file, or the name of one in model/configs.")
@click.option("--seed", type=int, help="Fine-tune with this seed; pre-training stays the same.")
@click.option("--leave-out", multiple=True, help="Do not fine-tune on this set; repeatable.")
@click.option("--output", type=DIRECTORY, help="Directory of the artifact to write.")
@click.option("--run", type=DIRECTORY, help="Directory for checkpoints, history and curves.")
def train(
    file: Path | None,
    start: str | None,
    read: "Callable[[Path], LabelledRows]",
    config: str | None,
    seed: int | None,
    leave_out: tuple[str, ...],
    output: Path | None,
    run: Path | None,
) -> None:
    r"""Train on FILE, a table of texts and labels, or on a configuration's data.

    \b
    sentiment train corrected.csv --from zh-general
    sentiment train a.xlsx --from zh-general --labels 好=positive,坏=negative
    sentiment train --config zh-general

    FILE has any form that `sentiment predict` takes. Its columns and labels are found and told;
    words such as positive, 好评 or 负面, 1 and 0, and stars are known. With --from, training starts
    from a trained model, which needs far fewer rows: ten that were corrected do to begin with, and
    what the model knew stays. Without, it needs thousands.

    An interrupted run resumes where it stopped. The data sets of a configuration are in the
    directory that SENTIMENT_DATA names.
    """
    from model import artifact as artifacts
    from model.config import load_config
    from model.training.own_file import own_file_run
    from model.training.run import train as run_training
    from model.training.run_directory import discard_checkpoints

    log_to_terminal()
    artifact = None
    if start is not None:
        artifact = artifacts.load(SHIPPED_MODEL if start == SHIPPED_MODEL.name else Path(start))
    data: Path | Splits
    if file is not None:
        loaded, data = own_file_run(read(file), config, adapt=artifact is not None)
    elif config is not None:
        loaded, data = load_config(config), data_directory()
    else:
        raise click.UsageError(_("give a table to train on, or --config"))
    changes: dict[str, object] = {} if seed is None else {"seed": seed}
    if leave_out:
        changes["leave_out"] = leave_out
    loaded = loaded.model_copy(update={"finetune": loaded.finetune.model_copy(update=changes)})
    run = run or Path("runs") / loaded.name
    output = output or Path("runs") / loaded.name / "artifact"
    run_training(loaded, data, run, output, artifact)
    if file is not None:
        discard_checkpoints(run)
        program = program_name()
        model = shlex.quote(str(output))
        table, labelled = _("FILE"), _("LABELLED_FILE")
        hints = [
            (_("label a table with it:"), f"{program} predict {table} --model {model}"),
            (_("measure it:"), f"{program} evaluate {labelled} --model {model}"),
            (_("serve it:"), f"SENTIMENT_MODEL={model} {program} serve"),
        ]
        click.echo("\n".join(aligned(hints, left={0, 1})))
