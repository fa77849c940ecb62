"""The command ``sentiment``."""

import json
import logging
import os
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from model.engines import EngineChoice
from model.errors import DataError, SentimentError, json_line, printable
from service.api_keys import new_key
from service.process.health import health
from service.process.logs import PlainFormatter
from service.settings import DATA_VARIABLE, SHIPPED_MODEL, load_settings, unknown_variables

if TYPE_CHECKING:
    from model.classifier import Classifier

_Directory = click.Path(path_type=Path, file_okay=False)
_File = click.Path(path_type=Path, dir_okay=False)

# What is read of standard input at a time, at most.
_INPUT_BYTES = 64 * 1024

_model_option = click.option(
    "--model",
    type=_Directory,
    default=SHIPPED_MODEL,
    envvar="SENTIMENT_MODEL",
    help="Artifact to use; SENTIMENT_MODEL.",
)

_engine_option = click.option(
    "--engine",
    type=click.Choice(get_args(EngineChoice)),
    default="auto",
    envvar="SENTIMENT_ENGINE",
    help="What runs the network; SENTIMENT_ENGINE.",
)


def _words_option(name: str, words: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    variable = f"SENTIMENT_{name.upper().replace('-', '_')}"
    return click.option(
        f"--{name}",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        envvar=variable,
        help=f"File of {words}; {variable}.",
    )


class _Group(click.Group):
    """Ends our own errors in one sentence and exit code 2, without a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except SentimentError as error:
            problem = str(error)
        except ModuleNotFoundError as error:  # serving needs the fewest packages
            extra, target = {
                "pyarrow": ("tables", ".venv/tables.installed"),
                "ray": ("ray", ".venv/ray.installed"),
                "fasttext": ("baselines", ".venv/baselines.installed"),
                "snownlp": ("baselines", ".venv/baselines.installed"),
            }.get(error.name or "", ("train", "install"))
            problem = (
                f"the package {error.name} is missing; run make {target}, or "
                f"pip install 'zh-sentiment[{extra}]'"
            )
        except click.UsageError as error:  # which repeats arguments: names of files, perhaps
            raise click.UsageError(printable(error.format_message()), error.ctx) from None
        click.echo(f"sentiment: {printable(problem)}", err=True)
        return context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zh-sentiment")
def main() -> None:
    """Says whether Chinese texts are positive, neutral or negative."""


@main.command()
@click.option("--host", help="Address to listen on; SENTIMENT_HOST.")
@click.option("--port", type=int, help="Port to listen on; SENTIMENT_PORT.")
@click.option("--model", type=_Directory, help="Artifact to serve; SENTIMENT_MODEL.")
@click.option("--check", is_flag=True, help="Check the settings and the artifact, and exit.")
def serve(host: str | None, port: int | None, model: Path | None, check: bool) -> None:
    """Serve the HTTP API. Every setting is an environment variable SENTIMENT_*."""
    settings = load_settings(host=host, port=port, model=model)
    if check:
        from service.model_registry import load_classifiers

        for name in unknown_variables():
            warning = f"sentiment: {printable(name)} is no setting and changes nothing"
            click.echo(warning, err=True)
        manifests = [each.artifact.manifest for each, _ in load_classifiers(settings)]
        served = ", ".join(f"{manifest.name} {manifest.version}" for manifest in manifests)
        click.echo(f"the settings fit, and {served} can be served")
        return
    if settings.workers > 1:
        from service.process.workers import supervise as run
    else:
        from service.process.server import serve as run
    run(settings)


@main.command()
@click.argument("texts", nargs=-1)
@_model_option
@_engine_option
@_words_option("user-words", "words to cut whole")
@_words_option("extra-stopwords", "further words to drop")
@_words_option("kept-words", "words not to drop")
@click.option("--column", help="Column of a table that holds the texts: text, or the only one.")
@click.option(
    "--output", type=_File, help="Table to write, of the same kind; by default NAME.labelled.EXT."
)
@click.option("--resume", is_flag=True, help="Go on where a run over this table was interrupted.")
@click.option("--force", is_flag=True, help="Begin anew, and replace what is there.")
@click.option("--ray", "address", help="Ray cluster to read a table on: HOST:PORT, or auto.")
def predict(
    texts: tuple[str, ...],
    model: Path,
    engine: EngineChoice,
    user_words: Path | None,
    extra_stopwords: Path | None,
    kept_words: Path | None,
    column: str | None,
    output: Path | None,
    resume: bool,
    force: bool,
    address: str | None,
) -> None:
    """Classify TEXTS, a table, or the lines of standard input.

    One argument that ends in .csv, .tsv, .jsonl, .ndjson or .parquet is a table: every row goes
    into the output as it is, with the columns label, confidence, positive, neutral and negative.
    Rows that cannot be classified go to NAME.errors.jsonl, with the reason.

    Lines are texts, or, where the first is one, JSON objects with a field text. Each is answered
    with one JSON object, or an error, as soon as it is there.
    """
    from model.bulk.labelling import SUFFIXES, label_table
    from model.bulk.ray_classifier import RayClassifier, connected
    from model.classifier import Classifier
    from model.text.custom_words import read_custom_words

    tables = [text for text in texts if text.lower().endswith(SUFFIXES)]
    if tables and len(texts) > 1:
        raise click.UsageError(f"{tables[0]} is a table: give one at a time, and nothing else")
    is_table = bool(tables)
    if not is_table and (output or resume or force or address is not None):
        raise click.UsageError("--output, --resume, --force and --ray are for a table")
    if resume and force:
        raise click.UsageError("--resume goes on and --force begins anew: give one of them")
    words = read_custom_words(user_words, extra_stopwords, kept_words)
    if is_table:
        _log_to_terminal()
        with nullcontext() if address is None else connected(address):
            load = Classifier.load if address is None else RayClassifier
            try:
                summary = label_table(
                    load(model, engine=engine, words=words),
                    Path(texts[0]),
                    output,
                    column,
                    resume=resume,
                    force=force,
                )
            except OSError as error:
                raise DataError(
                    f"{error.filename or texts[0]}: {error.strerror or error}"
                ) from None
        click.echo(printable(summary.report()))
        return
    classifier = Classifier.load(model, engine=engine, words=words)
    if texts in ((), ("-",)):
        _answer_input(classifier, column)
    else:
        _answer_texts(classifier, texts)


def _answer_input(classifier: "Classifier", column: str | None) -> None:
    """Answers the lines that have come, together, and then those that have come meanwhile."""
    from model.bulk.labelling import COLUMN, is_json_object

    json_lines: bool | None = None
    for number, lines in enumerate(_line_groups(cast(BufferedReader, sys.stdin.buffer))):
        if not number:
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        if json_lines is None:
            first = next((line for line in lines if line.strip()), None)
            json_lines = None if first is None else is_json_object(first)
        if json_lines:
            _answer_json_lines(classifier, lines, column or COLUMN)
        else:
            _answer_texts(
                classifier, [line.decode(errors="replace").rstrip("\r") for line in lines]
            )


def _line_groups(file: BufferedReader) -> Iterator[list[bytes]]:
    rest = b""
    while part := file.read1(_INPUT_BYTES):  # waits for something, not for so much
        *lines, rest = (rest + part).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _answer_texts(classifier: "Classifier", texts: Sequence[str]) -> None:
    from model.errors import BLANK
    from model.text.pipeline import is_blank
    from service.errors import problem
    from service.schemas import sentiment_fields

    blank = [is_blank(text) for text in texts]
    predictions = classifier.predict(
        text for text, nothing in zip(texts, blank, strict=True) if not nothing
    )
    for text, nothing in zip(texts, blank, strict=True):
        answer = (
            {"error": problem(422, BLANK).model_dump(exclude_none=True)}
            if nothing
            else sentiment_fields(next(predictions))
        )
        sys.stdout.write(f"{json_line({'input': text, **answer})}\n")
    sys.stdout.flush()


def _answer_json_lines(classifier: "Classifier", lines: Sequence[bytes], column: str) -> None:
    from model.bulk.labelling import extended_json, json_row, output_columns
    from service.errors import problem

    rows = [json_row(line, column) for line in lines if line.strip()]
    predictions = classifier.predict(row.text for row in rows if row.text is not None)
    for row in rows:
        if row.text is None:
            error = problem(422, row.reason).model_dump(exclude_none=True)
            line = json_line({"error": error})
        else:
            answer = output_columns(next(predictions).probabilities)
            line = extended_json(row.content, answer).decode().rstrip("\r\n")
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--config", help="A TOML file, or the name of one in model/configs.")
@click.option("--from", "start", help="Artifact to go on from: a directory, or zh-general.")
@click.option("--seed", type=int, help="Fine-tune with this seed, behind the same pre-training.")
@click.option("--leave-out", multiple=True, help="Do not fine-tune on this set; repeatable.")
@click.option("--output", type=_Directory, help="Directory of the artifact to write.")
@click.option("--run", type=_Directory, help="Directory of checkpoints, history and curves.")
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

    The labels are positive, neutral and negative. A run that was interrupted goes on where it
    was. The data of a configuration lie in the directory that SENTIMENT_DATA names.

    With --from, training goes on from a model that was trained already, which needs far fewer
    rows; a FILE without a neutral row then leaves what the model knows about neutral alone.
    """
    from model import artifact as artifacts
    from model.config import load_config
    from model.training.own_file import own_file_config
    from model.training.run import train as run_training

    _log_to_terminal()
    artifact = None
    if start is not None:
        artifact = artifacts.load(SHIPPED_MODEL if start == SHIPPED_MODEL.name else Path(start))
    if file is not None:
        loaded = own_file_config(file, config, adapt=artifact is not None)
        directory = file.parent
    elif config is not None:
        loaded, directory = load_config(config), _data_directory()
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


@main.command()
@click.option("--config", default="zh-general", help="Names the test sets.", show_default=True)
@_model_option
@click.option("--seed-model", type=_Directory, multiple=True, help="Same recipe, other seed.")
@click.option("--official", type=_Directory, multiple=True, help="Tuned on ChnSentiCorp's rows.")
@click.option("--baselines", is_flag=True, help="Train and score other classifiers beside it.")
@click.option("--previous", type=_Directory, help="Artifact of an earlier release, to score too.")
@click.option("--teacher", type=_Directory, help="Fine-tuned teacher to score beside it.")
@click.option("--card", is_flag=True, help="Write the figures into the artifact's card.")
@click.option("--figures", type=_Directory, help="Directory to draw pictures into.")
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
    """Print how good an artifact is on each test split.

    First come splits that are told apart by group and the sentences by kind of expression, then a
    table that compares all splits, then one that says more about the model alone. --seed-model and
    --official may be given several times; the first --official is tuned from the model itself.

    A --document takes a table between the lines <!-- NAME:begin --> and <!-- NAME:end -->, where
    NAME is comparison, details, kinds or a split by group; NAME-zh has headings in Chinese.
    """
    from model.config import load_config
    from model.evaluation.documents import block_names, replace_block
    from model.evaluation.evaluate import evaluate as run_evaluation
    from model.training.distil import load_teacher

    _log_to_terminal()
    blocks = {path: block_names(path) for path in document}
    if empty := [path for path, names in blocks.items() if not names]:
        raise click.UsageError(f"{empty[0]} has no line <!-- NAME:begin --> to write after")
    evaluation = run_evaluation(
        load_config(config),
        _data_directory(),
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
        from model.evaluation.figures import draw_confusion, draw_lengths, draw_reliability

        figures.mkdir(parents=True, exist_ok=True)
        draw_confusion(evaluation.splits, figures / "confusion.png")
        draw_lengths(evaluation.splits, figures / "lengths.png")
        draw_reliability(evaluation.splits, figures / "reliability.png")
    if card:
        from model.evaluation.model_card import write_evaluation

        write_evaluation(model, evaluation)


@main.command()
@click.option("--config", default="zh-general", help="Names the test sets.", show_default=True)
@_model_option
def export(config: str, model: Path) -> None:
    """Write the network in int8 into an artifact, for the onnx engine.

    It is measured beside the weights on every test split, and is written only if at least 99.5%
    of the labels stay the same and at most 0.2 points of accuracy are lost.
    """
    from model import artifact as artifacts
    from model.config import load_config
    from model.corpora import load_test
    from model.training.export import export as run_export

    _log_to_terminal()
    data = _data_directory()
    sources = [source for source in load_config(config).data.sources if source.test]
    splits = [(source, load_test(source, data)) for source in sources]
    exported = run_export(artifacts.load(model), splits)
    artifacts.save(exported, model)
    click.echo(json.dumps(exported.manifest.onnx, indent=2))


@main.command()
@_model_option
@_engine_option
def gate(model: Path, engine: EngineChoice) -> None:
    """Run the release check: exit code 0 when the model may be released, else 1."""
    from model.classifier import Classifier
    from model.evaluation.release_check import run_release_check

    result = run_release_check(Classifier.load(model, engine=engine))
    click.echo(result.report())
    sys.exit(0 if result.passed else 1)


@main.command()
@click.option("--config", default="zh-general", help="Names the dev splits.", show_default=True)
@_model_option
def reference(config: str, model: Path) -> None:
    """Record in an artifact what its answers look like on dev, which drift is measured against.

    Training does so by itself; this is for an artifact that was trained before, or for texts like
    those that a service will see.
    """
    from model import artifact as artifacts
    from model.classifier import Classifier
    from model.config import load_config
    from model.corpora import load_splits
    from model.drift import summarize_answers

    dev = load_splits(load_config(config).data, _data_directory()).dev
    classifier = Classifier.load(model)
    baseline = summarize_answers(classifier, [example.text for example in dev])
    artifacts.save(classifier.artifact.with_drift_baseline(baseline), model)
    click.echo(baseline.model_dump_json(indent=2))


@main.command()
def openapi() -> None:
    """Print the OpenAPI document of the service, as docs/openapi.json has it."""
    from service.app import openapi_document

    click.echo(json.dumps(openapi_document(), ensure_ascii=False, indent=1))


@main.command()
@click.argument("name")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="The last day to ask, in UTC.")
def key(name: str, expires: datetime | None) -> None:
    """Make a key for the client that is called NAME.

    The key goes to standard error and is kept nowhere; its line for the file of keys, which
    SENTIMENT_API_KEYS_FILE names, goes to standard output: sentiment key NAME >> FILE
    """
    made, line = new_key(name, expires.date() if expires else None)
    click.echo(f"the key of {name}, shown this once: {made}", err=True)
    click.echo(line)


main.add_command(health)


def _data_directory() -> Path:
    directory = os.environ.get(DATA_VARIABLE)
    if not directory:
        raise click.UsageError(f"set {DATA_VARIABLE} to the directory of the corpora")
    return Path(directory)


def _log_to_terminal() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(level="INFO", handlers=[handler])
