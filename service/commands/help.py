"""The group of all commands: help in sections and in the user's language, errors in one sentence.

The language is the one that gettext finds in ``LANGUAGE``, ``LC_ALL``, ``LC_MESSAGES`` or ``LANG``,
for click's own words too.
"""

import copy
import gettext
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from model import SentimentError
from model.errors import UnansweredError, printable
from service.commands.terminal import cells

_Command = TypeVar("_Command", bound=click.Command)

DOMAIN: Final = "sentiment"
LOCALES: Final = Path(__file__).parent.parent / "locale"

_UNANSWERED: Final = 1
_MISUSE: Final = 2
# As a shell reports a program that SIGINT ended.
_INTERRUPTED: Final = 130

# Packages of an extra: which extra, and the make target that installs it.
_EXTRAS = {
    "fasttext": ("baselines", ".venv/baselines.installed"),
    "pyarrow": ("tables", ".venv/tables.installed"),
    "ray": ("ray", ".venv/ray.installed"),
    "snownlp": ("baselines", ".venv/baselines.installed"),
}

# Where a line of help may end: after a blank, and on either side of a wide character, but neither
# before a mark that closes nor after one that opens.
_PIECE = re.compile(
    r"\s+|[（《“]*(?:[\u2e80-\u9fff\uf900-\ufaff]|[^\s\u2e80-\u9fff\uf900-\ufaff（《“]++)"
    r"[，。；：、！？）》”…]*|\S"
)
_SENTENCE_END = re.compile(r"(?<=\.)\s|(?<=。)")


class Commands(click.Group):
    """A group whose ``sections`` are the headings of its help, with the commands below each."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.context_class = _Context
        self._sections = sections

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run in the user's language."""
        gettext.bindtextdomain(DOMAIN, str(LOCALES))
        gettext.textdomain(DOMAIN)
        return super().main(*args, **kwargs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command with its help in the user's language."""
        command = super().get_command(ctx, cmd_name)
        return command and _translated(command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [name for names in self._sections.values() for name in names]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See ``click.Command.format_help``."""
        super(Commands, _translated(self)).format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, each with the whole first sentence of its help."""
        for title, names in self._sections.items():
            with formatter.section(gettext.gettext(title)):
                width = max(map(len, self.list_commands(ctx)))
                formatter.write_dl(
                    [(name.ljust(width), self._summary(ctx, name)) for name in names]
                )

    def invoke(self, ctx: click.Context) -> object:
        """Report expected errors in one sentence, with an exit code and without a traceback."""
        try:
            return super().invoke(ctx)
        except SentimentError as error:
            message = str(error)
            code = _UNANSWERED if isinstance(error, UnansweredError) else _MISUSE
        except ModuleNotFoundError as error:  # serving installs the fewest packages
            code = _MISUSE
            extra, target = _EXTRAS.get(error.name or "", ("train", "install"))
            message = gettext.gettext(
                "the package {name} is missing; run make {target}, or "
                "pip install 'zh-sentiment[{extra}]'"
            ).format(name=error.name, target=target, extra=extra)
        except click.UsageError as error:  # it may quote a hostile file name
            raise click.UsageError(printable(error.format_message()), error.ctx) from None
        except BrokenPipeError:  # such as head: it has what it wants
            # What is still buffered has no reader; Python would complain about it when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ctx.exit(0)
        except KeyboardInterrupt:
            return ctx.exit(_INTERRUPTED)
        click.echo(f"sentiment: {printable(message)}", err=True)
        return ctx.exit(code)

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        paragraph = ((command and command.help) or "").split("\n\n", 1)[0]
        return _SENTENCE_END.split(" ".join(paragraph.split()), maxsplit=1)[0]


class HelpFormatter(click.HelpFormatter):
    r"""Wraps by cells of the terminal, of which a Chinese character takes two.

    As in click, a paragraph that begins with a line ``\b`` keeps its lines.
    """

    def write_heading(self, heading: str) -> None:
        """Write the heading of a section."""
        self.write(" " * self.current_indent)
        self.write(gettext.gettext("{heading}:").format(heading=heading) + "\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        indent = " " * self.current_indent
        paragraphs = (_lines(each, self.width - len(indent)) for each in text.split("\n\n"))
        self.write(
            "\n\n".join("\n".join(f"{indent}{line}" for line in each) for each in paragraphs)
        )
        self.write("\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write terms and what they mean, in two columns."""
        rows = list(rows)
        column = min(max(len(term) for term, _ in rows), col_max) + col_spacing
        for term, meaning in rows:
            indent = " " * self.current_indent
            lines = _lines(meaning, self.width - column - len(indent))
            first = f"{term:{column}}{lines[0]}" if len(term) <= column - col_spacing else term
            rest = lines[1:] if first != term else lines
            self.write(f"{indent}{first}\n")
            self.write("".join(f"{indent}{'':{column}}{line}\n" for line in rest))


class _Context(click.Context):
    formatter_class = HelpFormatter


def _translated(command: _Command) -> _Command:
    translated = copy.copy(command)
    translated.context_class = _Context
    if command.help:
        translated.help = gettext.gettext(inspect.cleandoc(command.help))
    translated.options_metavar = gettext.gettext("[OPTIONS]")
    if isinstance(translated, Commands):
        translated.subcommand_metavar = gettext.gettext("COMMAND [ARGS]...")
    translated.params = [copy.copy(param) for param in command.params]
    for param in translated.params:
        if isinstance(param, click.Option) and param.help:
            param.help = gettext.gettext(param.help)
    return translated


def _lines(paragraph: str, width: int) -> list[str]:
    if paragraph.startswith("\\b\n"):  # as docstrings have it, which are raw
        return paragraph.splitlines()[1:]
    return list(_wrapped(" ".join(paragraph.splitlines()), width))


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for piece in _PIECE.findall(text):
        if line and cells(line + piece) > width and not piece.isspace():
            yield line.rstrip()
            line = ""
        line += piece
    yield line.rstrip()
