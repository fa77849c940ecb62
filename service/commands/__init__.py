"""The command ``sentiment``. Heavy packages are imported by the commands that need them."""

import click

from service.commands import artifact, evaluate, explain, predict, serve, train
from service.commands.help import Commands
from service.process.health import health

_SECTIONS = {
    "Use": (predict.predict, explain.explain, evaluate.evaluate),
    "Train": (
        train.train,
        evaluate.release_check,
        artifact.export,
        artifact.drift_baseline,
        artifact.repack,
    ),
    "Operate": (serve.serve, health, serve.key, serve.openapi),
}


@click.group(
    cls=Commands,
    sections={
        title: [command.name for command in commands] for title, commands in _SECTIONS.items()
    },
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(package_name="zh-sentiment")
def main() -> None:
    r"""Say whether Chinese texts are positive, neutral or negative.

    \b
    sentiment predict 房间很好             a text
    sentiment predict reviews.xlsx         a table: writes reviews.labelled.xlsx
    sentiment serve                        the web page and the HTTP API
    sentiment COMMAND --help               options and an example
    """


for _commands in _SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
