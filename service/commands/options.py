"""What several commands share: options, the corpora's directory and a log for a terminal."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from gettext import gettext as _
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from model.engines import EngineChoice
from service.process.logs import PlainFormatter
from service.settings import DATA_VARIABLE, SHIPPED_MODEL

if TYPE_CHECKING:
    from model.bulk.table import ReadOptions

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]

sheet_option = click.option(
    "--sheet", help="Sheet of an Excel workbook; else the first with a column of texts."
)

_SPELLED_DELIMITERS: Final = {"\\t": "\t", "tab": "\t"}
_LABELLED_OPTIONS: tuple[_Decorator, ...] = (
    click.option("-c", "--column", help="Column of FILE that holds the texts; else it is found."),
    click.option("--label-column", help="Column of FILE that holds the labels; else it is found."),
    click.option(
        "--labels", help="What labels mean: 好评=positive,差评=negative,其他= (left out)."
    ),
    click.option("--encoding", help="Encoding of FILE, such as gb18030; else it is found."),
    click.option("-d", "--delimiter", help="Character between fields, or tab; else it is found."),
    click.option(
        "--no-header", is_flag=True, help="The first row is a row; columns are called 1, 2, …"
    ),
    sheet_option,
)

DIRECTORY = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
EXISTING_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)

model_option = click.option(
    "-m",
    "--model",
    type=DIRECTORY,
    default=SHIPPED_MODEL,
    show_default=False,  # a long path
    envvar="SENTIMENT_MODEL",
    show_envvar=True,
    help="Artifact to use; by default zh-general, which ships.",
)

engine_option = click.option(
    "--engine",
    type=click.Choice(get_args(EngineChoice)),
    default="auto",
    envvar="SENTIMENT_ENGINE",
    show_envvar=True,
    help="Engine that runs the network.",
)


def config_option(purpose: str) -> _Decorator:
    """Return the option ``--config``, which names the data sets of a command."""
    return click.option("--config", default="zh-general", help=purpose)


def own_words_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for files of words of one's own, each of which has a setting too."""
    for name, purpose in (
        ("kept-words", "File of words not to drop."),
        ("extra-stopwords", "File of further words to drop."),
        ("user-words", "File of words to keep whole."),
    ):
        variable = f"SENTIMENT_{name.upper().replace('-', '_')}"
        command = click.option(
            f"--{name}", type=EXISTING_FILE, envvar=variable, show_envvar=True, help=purpose
        )(command)
    return command


def read_options(
    column: str | None,
    encoding: str | None,
    delimiter: str | None,
    no_header: bool,
    sheet: str | None,
) -> "ReadOptions":
    """Return how a table is read, from options of the command line.

    Raises:
        UsageError: the delimiter is none.
    """
    from model.bulk.table import ReadOptions

    delimiter = _SPELLED_DELIMITERS.get(delimiter or "", delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise click.UsageError(
            _("--delimiter is one character, such as ; or | or tab, other than a quote")
        )
    return ReadOptions(column, encoding, delimiter, False if no_header else None, sheet)


def labelled_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how the argument ``file`` is read as a table with labels.

    The command gets them as ``read``, which returns the ``LabelledRows`` of a path.
    """

    @wraps(command)
    def call(
        *,
        column: str | None,
        label_column: str | None,
        labels: str | None,
        encoding: str | None,
        delimiter: str | None,
        no_header: bool,
        sheet: str | None,
        **others: Any,
    ) -> None:
        from model.bulk.label_words import parse_labels
        from model.bulk.labelled import read_labelled

        given = (column, label_column, labels, encoding, delimiter, sheet)
        if others["file"] is None and (no_header or any(value is not None for value in given)):
            raise click.UsageError(_("the options that say how FILE is read need a FILE"))
        options = read_options(column, encoding, delimiter, no_header, sheet)
        meanings = None if labels is None else parse_labels(labels)
        command(
            read=partial(
                read_labelled, options=options, label_column=label_column, labels=meanings
            ),
            **others,
        )

    decorated: Callable[..., None] = call
    for option in reversed(_LABELLED_OPTIONS):
        decorated = option(decorated)
    return decorated


def data_directory() -> Path:
    """Return the directory of the corpora.

    Raises:
        UsageError: the environment does not name it.
    """
    directory = os.environ.get(DATA_VARIABLE)
    if not directory:
        raise click.UsageError(
            _("set {variable} to the directory of the corpora").format(variable=DATA_VARIABLE)
        )
    return Path(directory)


def log_to_terminal() -> None:
    """Log progress to standard error in plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level="INFO", handlers=[handler])
