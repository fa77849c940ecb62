"""``sentiment predict``: texts, a table, or the lines of standard input."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from gettext import gettext as _
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click
from click.shell_completion import CompletionItem

from model import DataError
from model.engines import EngineChoice
from model.errors import printable
from service.commands.inputs import decoded, file_argument, is_pipe
from service.commands.options import (
    FILE,
    engine_option,
    log_to_terminal,
    model_option,
    own_words_options,
    read_options,
    sheet_option,
)

if TYPE_CHECKING:
    from model import Classifier, CustomWords
    from model.bulk.table import ReadOptions

_NOTHING_ANSWERED: Final = 1
_SOME_FAILED: Final = 3


@click.command()
@click.argument(
    "texts",
    nargs=-1,
    metavar="[TEXT... | FILE | -]",
    shell_complete=lambda *given: [CompletionItem(given[-1], type="file")],
)
@click.option("--text", "as_texts", is_flag=True, help="Take every argument for a text.")
@click.option("-c", "--column", help="Column or field that holds the texts, such as data.text.")
@click.option(
    "--encoding", help="Encoding of a table or a pipe, such as gb18030; else it is found."
)
@click.option("-d", "--delimiter", help="Character between fields, or tab; else it is found.")
@click.option(
    "--no-header", is_flag=True, help="The first row is a row; columns are called 1, 2, …"
)
@sheet_option
@click.option("--prefix", help="Put this before the names of the columns that are added.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Table to write; by default NAME.labelled.EXT. Another ending converts.",
)
@click.option("--resume", is_flag=True, help="Resume an interrupted run over this table.")
@click.option("-f", "--force", is_flag=True, help="Start over, and replace existing output.")
@click.option("--ray", "address", help="Ray cluster to classify a table on: HOST:PORT, or auto.")
@model_option
@engine_option
@own_words_options
def predict(
    texts: tuple[str, ...],
    as_texts: bool,
    column: str | None,
    encoding: str | None,
    delimiter: str | None,
    no_header: bool,
    sheet: str | None,
    prefix: str | None,
    output: Path | None,
    resume: bool,
    force: bool,
    address: str | None,
    model: Path,
    engine: EngineChoice,
    user_words: Path | None,
    extra_stopwords: Path | None,
    kept_words: Path | None,
) -> None:
    r"""Classify texts, a table, or the lines of a pipe.

    \b
    sentiment predict 房间很好 早餐很差
    sentiment predict reviews.xlsx --column 评论内容
    cat reviews.txt | sentiment predict

    A table is .csv, .tsv, .txt, .jsonl, .json, .xlsx or .parquet, each also with .gz. Its encoding,
    its layout and the column of the texts are found, told in one line, and can be given. Every row
    is copied to the output with the columns label, confidence, uncertain, positive, neutral and
    negative. Rows that cannot be classified go to NAME.errors.jsonl, with the reason.

    A pipe holds a text a line, JSON, or a delimited table with a header. Each text is answered by a
    JSON object on a line, as soon as it has been read.

    Exit codes: 0 if everything was answered, 1 if nothing was or the run broke off, 2 for misuse,
    3 if some rows could not be answered.
    """
    from model import Classifier, read_custom_words

    piped = texts in ((), ("-",)) and not as_texts
    file = None if piped or as_texts else file_argument(texts)
    table = None if file is None or is_pipe(file) else file
    if table is None and (sheet or output or resume or force or address is not None):
        raise click.UsageError(_("--sheet, --output, --resume, --force and --ray are for a table"))
    if not (piped or file) and (column or encoding or delimiter or no_header or prefix):
        raise click.UsageError(
            _("a text takes none of --column, --encoding, --delimiter, --no-header and --prefix")
        )
    if resume and force:
        raise click.UsageError(_("--resume continues a run and --force starts over; give only one"))
    options = read_options(column, encoding, delimiter, no_header, sheet)
    words = read_custom_words(user_words, extra_stopwords, kept_words)
    if table is not None:
        code = _label(table, model, engine, words, output, options, prefix, resume, force, address)
    else:
        classifier = Classifier.load(model, engine=engine, words=words)
        if piped or file:
            code = _answer_pipe(classifier, file, options, prefix)
        else:
            code = _answer_texts(classifier, [decoded(text) for text in texts])
    click.get_current_context().exit(code)


def _answer_pipe(
    classifier: "Classifier", pipe: Path | None, options: "ReadOptions", prefix: str | None
) -> int:
    """Answer the lines of a named pipe or of standard input, and return the exit code."""
    from service.commands.pipe import Answers, answer_pipe

    answers = Answers(classifier)
    with nullcontext(sys.stdin.buffer) if pipe is None else pipe.open("rb") as lines:
        if lines.isatty():
            click.echo(_("reading texts from the terminal, one a line; Ctrl-D ends"), err=True)
        answer_pipe(answers, cast(BufferedReader, lines), options, prefix)
    answers.write()
    return _exit_code(answers.answered, answers.failed)


def _answer_texts(classifier: "Classifier", texts: Sequence[str]) -> int:
    """Answer the arguments, and return the exit code."""
    from service.commands.pipe import Answers, text_item

    answers = Answers(classifier)
    for text in texts:
        answers.add(text_item(text))
    answers.write()
    return _exit_code(answers.answered, answers.failed)


def _label(
    table: Path,
    model: Path,
    engine: EngineChoice,
    words: "CustomWords",
    output: Path | None,
    options: "ReadOptions",
    prefix: str | None,
    resume: bool,
    force: bool,
    address: str | None,
) -> int:
    """Label a table, and return the exit code."""
    from model import Classifier
    from model.bulk.labelling import label_table
    from model.bulk.ray_classifier import RayClassifier, connected

    log_to_terminal()
    with nullcontext() if address is None else connected(address):
        load = Classifier.load if address is None else RayClassifier
        classifier = load(model, engine=engine, words=words)
        try:
            summary = label_table(
                classifier, table, output, options, prefix=prefix, resume=resume, force=force
            )
        except OSError as error:
            raise DataError(f"{error.filename or table}: {error.strerror or error}") from None
        except KeyboardInterrupt:
            click.echo(_("interrupted; --resume continues from here"), err=True)
            raise
    click.echo(printable(summary.report()))
    return _exit_code(summary.answered, summary.failed)


def _exit_code(answered: int, failed: int) -> int:
    if not answered:
        return _NOTHING_ANSWERED
    return _SOME_FAILED if failed else 0
