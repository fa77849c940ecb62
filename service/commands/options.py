"""What several commands share: options, the corpora's directory and a log for a terminal."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click

from model.engines import EngineChoice
from service.process.logs import PlainFormatter
from service.settings import DATA_VARIABLE, SHIPPED_MODEL

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]

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


def data_directory() -> Path:
    """Return the directory of the corpora.

    Raises:
        UsageError: the environment does not name it.
    """
    directory = os.environ.get(DATA_VARIABLE)
    if not directory:
        raise click.UsageError(f"set {DATA_VARIABLE} to the directory of the corpora")
    return Path(directory)


def log_to_terminal() -> None:
    """Log progress to standard error in plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(level="INFO", handlers=[handler])
