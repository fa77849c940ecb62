"""``sentiment predict``: texts, a table, or the lines of standard input."""

import sys
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from gettext import gettext as _
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from click.shell_completion import CompletionItem

from model import DataError
from model.engines import EngineChoice
from model.errors import json_line, printable
from model.lines import LineSplitter
from service.commands.inputs import decoded, file_argument, is_pipe
from service.commands.options import (
    FILE,
    engine_option,
    log_to_terminal,
    model_option,
    own_words_options,
)

if TYPE_CHECKING:
    from model import Classifier, CustomWords

# Maximum read from standard input at once.
_READ_BYTES = 64 * 1024


@click.command()
@click.argument(
    "texts",
    nargs=-1,
    metavar="[TEXT... | FILE | -]",
    shell_complete=lambda *given: [CompletionItem(given[-1], type="file")],
)
@click.option("--text", "as_texts", is_flag=True, help="Take every argument for a text.")
@click.option("-c", "--column", help="Column that holds the texts.")
@click.option("-o", "--output", type=FILE, help="Table to write; default: NAME.labelled.EXT.")
@click.option("--resume", is_flag=True, help="Resume an interrupted run over this table.")
@click.option("-f", "--force", is_flag=True, help="Start over, and replace existing output.")
@click.option("--ray", "address", help="Ray cluster to classify a table on: HOST:PORT, or auto.")
@model_option
@engine_option
@own_words_options
def predict(
    texts: tuple[str, ...],
    as_texts: bool,
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
    r"""Classify texts, a table, or the lines of standard input.

    \b
    sentiment predict 房间很好 早餐很差
    sentiment predict reviews.csv --column 评论内容
    cat reviews.txt | sentiment predict

    An argument that is a file, or is written like the name of one, is a table: every row is copied
    to the output, with the columns label, confidence, positive, neutral and negative added. Rows
    that cannot be classified go to NAME.errors.jsonl, with the reason.

    Lines of standard input are texts or, if the first one is, JSON objects with a field text. Each
    is answered by one JSON object, a result or an error, as soon as it has been read.
    """
    from model import Classifier, read_custom_words

    piped = texts in ((), ("-",)) and not as_texts
    file = None if piped or as_texts else file_argument(texts)
    table = None if file is None or is_pipe(file) else file
    if table is None and (output or resume or force or address is not None):
        raise click.UsageError(_("--output, --resume, --force and --ray are for a table"))
    if resume and force:
        raise click.UsageError(_("--resume continues a run and --force starts over; give only one"))
    words = read_custom_words(user_words, extra_stopwords, kept_words)
    if table is not None:
        _label(table, model, engine, words, output, column, resume, force, address)
        return
    given = [] if piped or file else [decoded(text) for text in texts]
    classifier = Classifier.load(model, engine=engine, words=words)
    if piped or file:
        if file is None and sys.stdin.isatty():
            click.echo(_("reading texts from the terminal, one a line; Ctrl-D ends"), err=True)
        with nullcontext(sys.stdin.buffer) if file is None else file.open("rb") as lines:
            _answer_input(classifier, cast(BufferedReader, lines), column)
    else:
        _answer_texts(classifier, given)


def _label(
    table: Path,
    model: Path,
    engine: EngineChoice,
    words: "CustomWords",
    output: Path | None,
    column: str | None,
    resume: bool,
    force: bool,
    address: str | None,
) -> None:
    from model import Classifier
    from model.bulk.labelling import label_table
    from model.bulk.ray_classifier import RayClassifier, connected
    from model.bulk.table import ReadOptions

    log_to_terminal()
    with nullcontext() if address is None else connected(address):
        load = Classifier.load if address is None else RayClassifier
        classifier = load(model, engine=engine, words=words)
        try:
            options = ReadOptions(column)
            summary = label_table(classifier, table, output, options, resume=resume, force=force)
        except OSError as error:
            raise DataError(f"{error.filename or table}: {error.strerror or error}") from None
    click.echo(printable(summary.report()))


def _answer_input(classifier: "Classifier", file: BufferedReader, column: str | None) -> None:
    """Answer the lines that have arrived, then those that arrived meanwhile, until the end."""
    from model.bulk.json_rows import json_object

    json_lines: bool | None = None
    for number, lines in enumerate(_line_groups(file)):
        if not number:
            lines[0] = lines[0].removeprefix(BOM_UTF8)
        if json_lines is None:
            first = next((line for line in lines if line.strip()), None)
            json_lines = None if first is None else json_object(first) is not None
        if json_lines:
            _answer_json_lines(classifier, lines, column or "text")
        else:
            _answer_texts(
                classifier, [line.decode(errors="replace").rstrip("\r") for line in lines]
            )


def _line_groups(file: BufferedReader) -> Iterator[list[bytes]]:
    """Yield the lines that each read completes, without their line feeds."""
    splitter = LineSplitter()
    last = False
    while not last:
        part = file.read1(_READ_BYTES)  # returns what is there instead of waiting for more
        last = not part
        # No line is None, since no length is the maximum.
        if lines := [line or b"" for line in splitter.split(part, last=last)]:
            yield lines


def _answer_texts(classifier: "Classifier", texts: Sequence[str]) -> None:
    from model.errors import BLANK
    from model.text.pipeline import is_blank
    from service.problems import problem
    from service.schemas import Sentiment, sentiment_fields

    blank = [is_blank(text) for text in texts]
    predictions = classifier.predict(
        text for text, nothing in zip(texts, blank, strict=True) if not nothing
    )
    for text, nothing in zip(texts, blank, strict=True):
        answer = (
            {"error": problem(422, BLANK).model_dump(exclude_none=True)}
            if nothing
            else Sentiment(**sentiment_fields(next(predictions))).model_dump()
        )
        sys.stdout.write(f"{json_line({'input': text, **answer})}\n")
    sys.stdout.flush()


def _answer_json_lines(classifier: "Classifier", lines: Sequence[bytes], column: str) -> None:
    from model.bulk.json_rows import extended_json, json_row
    from model.bulk.table import output_columns
    from service.problems import problem

    rows = [json_row(line, column) for line in lines if line.strip()]
    predictions = classifier.predict(row.text for row in rows if row.text is not None)
    for row in rows:
        if row.text is None:
            error = problem(422, row.reason).model_dump(exclude_none=True)
            line = json_line({"error": error})
        else:
            prediction = next(predictions)
            columns = output_columns(prediction.probabilities, prediction.uncertain)
            line = extended_json(row.content, columns).decode().rstrip("\r\n")
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
