"""Commands that write an artifact: its int8 weights, its drift baseline, its files in format 2."""

import json
from pathlib import Path

import click

from service.commands.options import (
    DIRECTORY,
    FILE,
    config_option,
    data_directory,
    log_to_terminal,
    model_option,
)


@click.command()
@config_option("Configuration that names the test sets.")
@model_option
@click.option(
    "--onnx",
    type=FILE,
    help="Only write the int8 network to this ONNX file, for other tools.",
)
def export(config: str, model: Path, onnx: Path | None) -> None:
    r"""Write int8 weights into an artifact, for the onnx engine.

    \b
    SENTIMENT_DATA=data sentiment export --model runs/mine/artifact

    They are compared with the float weights on every test split, and written only if at least
    99.5 percent of the labels stay the same and accuracy falls by at most 0.2 points.
    """
    from model import artifact as artifacts
    from model.config import load_config
    from model.corpora import load_test
    from model.engines import onnx_model

    if onnx:
        onnx.write_bytes(onnx_model(artifacts.load(model)))
        return

    from model.training.export import export as run_export

    log_to_terminal()
    data = data_directory()
    sources = [source for source in load_config(config).data.sources if source.test]
    splits = [(source, load_test(source, data)) for source in sources]
    exported = run_export(artifacts.load(model), splits)
    artifacts.save(exported, model)
    click.echo(json.dumps(exported.manifest.int8, indent=2))


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("output", type=DIRECTORY, required=False)
def repack(directory: Path, output: Path | None) -> None:
    r"""Convert the artifact in DIRECTORY from format 1 to format 2.

    \b
    sentiment repack runs/old/artifact runs/new/artifact

    The result replaces it, or goes to OUTPUT. Its answers stay the same to the bit.
    """
    from model import artifact as artifacts
    from service.commands.format_1 import ONNX, load_format_1

    output = output or directory
    artifacts.save(load_format_1(directory), output)
    (output / ONNX).unlink(missing_ok=True)
    click.echo(f"{output} has format 2; its digest is {artifacts.load(output).digest}")


@click.command("drift-baseline")
@config_option("Configuration that names the dev sets.")
@model_option
def drift_baseline(config: str, model: Path) -> None:
    r"""Record an artifact's answers on dev, the baseline that drift is measured against.

    \b
    SENTIMENT_DATA=data sentiment drift-baseline --model runs/mine/artifact

    Training does this by itself; use the command for an older artifact, or for dev texts like
    those that a service will receive.
    """
    from model import Classifier
    from model import artifact as artifacts
    from model.config import load_config
    from model.corpora import load_splits
    from model.drift import summarize_answers

    dev = load_splits(load_config(config).data, data_directory()).dev
    classifier = Classifier.load(model)
    baseline = summarize_answers(classifier, [example.text for example in dev])
    artifacts.save(classifier.artifact.with_drift_baseline(baseline), model)
    click.echo(baseline.model_dump_json(indent=2))
