"""``sentiment train``."""

from pathlib import Path

import click

from service.commands.options import DIRECTORY, FILE, data_directory, log_to_terminal
from service.settings import SHIPPED_MODEL


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--config", help="TOML file, or the name of one in model/configs.")
@click.option("--from", "start", help="Artifact to start from: a directory, or zh-general.")
@click.option("--seed", type=int, help="Fine-tune with this seed; pre-training stays the same.")
@click.option("--leave-out", multiple=True, help="Do not fine-tune on this set; repeatable.")
@click.option("--output", type=DIRECTORY, help="Directory of the artifact to write.")
@click.option("--run", type=DIRECTORY, help="Directory for checkpoints, history and curves.")
def train(
    file: Path | None,
    config: str | None,
    start: str | None,
    seed: int | None,
    leave_out: tuple[str, ...],
    output: Path | None,
    run: Path | None,
) -> None:
    """Train on FILE, a CSV file with the columns text and label, or on a configuration's data.

    The labels are positive, neutral and negative. An interrupted run resumes where it stopped.
    The data sets of a configuration are in the directory that SENTIMENT_DATA names.

    With --from, training starts from an already trained model, which needs far fewer rows; if
    FILE has no neutral row, what the model knows about neutral stays as it is.
    """
    from model import artifact as artifacts
    from model.config import load_config
    from model.training.own_file import own_file_config
    from model.training.run import train as run_training

    log_to_terminal()
    artifact = None
    if start is not None:
        artifact = artifacts.load(SHIPPED_MODEL if start == SHIPPED_MODEL.name else Path(start))
    if file is not None:
        loaded = own_file_config(file, config, adapt=artifact is not None)
        directory = file.parent
    elif config is not None:
        loaded, directory = load_config(config), data_directory()
    else:
        raise click.UsageError("give a CSV file to train on, or --config")
    changes: dict[str, object] = {} if seed is None else {"seed": seed}
    if leave_out:
        changes["leave_out"] = leave_out
    loaded = loaded.model_copy(update={"finetune": loaded.finetune.model_copy(update=changes)})
    run_training(
        loaded,
        directory,
        run or Path("runs") / loaded.name,
        output or Path("runs") / loaded.name / "artifact",
        artifact,
    )
