"""Tells the arguments of a command apart: texts, a file, or something that is read like a pipe."""

import os
import re
import stat
from collections.abc import Sequence
from gettext import gettext as _
from pathlib import Path

import click

from model.errors import one_line
from model.lines import has_lone_surrogate

# What ends so is the name of a file, even with Chinese before it.
_DATA_SUFFIX = re.compile(
    r"\.(?:[ct]sv|tab|txt|log|md|dat|data|jsonl?|ndjson|parquet|feather|arrow|avro|pickle|pkl|npy"
    r"|xls[xmb]?|et|ods|numbers|docx?|wps|pdf|html?|xml|ya?ml|toml|sql|db|sqlite3?|sav|dta"
    r"|t?gz|bz2|xz|zst|zip|rar|7z|tar)",
    re.IGNORECASE,
)
_ANY_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{0,9}", re.IGNORECASE)
_PATH = re.compile(r"[\w .~@%+=:,\\/-]+")
_CHINESE = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")


def looks_like_file(argument: str) -> bool:
    """Return whether a file has this name, or it is written like the name of one.

    >>> [looks_like_file(each) for each in ("评论.xlsx", "data/new", "a.typo", "服务/环境都好")]
    [True, True, True, False]
    """
    if os.path.lexists(argument) or argument.startswith(("./", "../", "~/", "/")):
        return True
    suffix = os.path.splitext(argument)[1]
    if _DATA_SUFFIX.fullmatch(suffix):
        return True
    if _CHINESE.search(argument):
        return False
    is_path = "/" in argument and _PATH.fullmatch(argument)
    return bool(is_path or _ANY_SUFFIX.fullmatch(suffix))


def file_argument(arguments: Sequence[str]) -> Path | None:
    """Return the file that is the only argument, or ``None`` if all arguments are texts.

    Raises:
        UsageError: there is a file among others, or it is missing, or a directory.
    """
    named = next(filter(looks_like_file, arguments), None)
    if named is None:
        if "-" in arguments:
            raise click.UsageError(_("- is standard input; give it alone"))
        return None
    path = Path(named)
    if not path.exists():
        raise click.UsageError(
            _("{path} does not exist; check the name, or give --text if it is a text").format(
                path=one_line(named)
            )
        )
    if path.is_dir():
        raise click.UsageError(
            _("{path} is a directory; name a file in it, or give --text if it is a text").format(
                path=one_line(named)
            )
        )
    if len(arguments) > 1:
        raise click.UsageError(
            _("{path} is a file; give one file and nothing else, or --text if it is a text").format(
                path=one_line(named)
            )
        )
    return path


def is_pipe(path: Path) -> bool:
    """Return whether a file can be read only once, from the beginning: ``<(…)`` or a FIFO."""
    return not stat.S_ISREG(path.stat().st_mode)


def decoded(argument: str) -> str:
    """Return an argument as the text that was typed, whatever encoding the locale has.

    Raises:
        UsageError: its bytes are in no encoding that is known here.
    """
    try:
        return os.fsencode(argument).decode()
    except UnicodeDecodeError:  # it is in the locale's own encoding, such as GBK
        if not has_lone_surrogate(argument):
            return argument
    except UnicodeEncodeError:  # it was no argument of this process
        return argument
    raise click.UsageError(
        _("the text {text} is not UTF-8; check the encoding of the terminal or script").format(
            text=one_line(argument)
        )
    )
