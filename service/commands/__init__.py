"""The command ``sentiment``. Heavy packages are imported by the commands that need them."""

import click

from model import SentimentError
from model.errors import printable
from service.commands import artifact, evaluate, predict, serve, train
from service.process.health import health

# Packages of an extra: which extra, and the make target that installs it.
_EXTRAS = {
    "fasttext": ("baselines", ".venv/baselines.installed"),
    "pyarrow": ("tables", ".venv/tables.installed"),
    "ray": ("ray", ".venv/ray.installed"),
    "snownlp": ("baselines", ".venv/baselines.installed"),
}


class _Group(click.Group):
    """Reports expected errors in one sentence, with exit code 2 and without a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except SentimentError as error:
            message = str(error)
        except ModuleNotFoundError as error:  # serving installs the fewest packages
            extra, target = _EXTRAS.get(error.name or "", ("train", "install"))
            message = (
                f"the package {error.name} is missing; run make {target}, or "
                f"pip install 'zh-sentiment[{extra}]'"
            )
        except click.UsageError as error:  # it may quote a hostile file name
            raise click.UsageError(printable(error.format_message()), error.ctx) from None
        click.echo(f"sentiment: {printable(message)}", err=True)
        return context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zh-sentiment")
def main() -> None:
    """Say whether Chinese texts are positive, neutral or negative."""


for _command in (
    serve.serve,
    health,
    serve.key,
    serve.openapi,
    predict.predict,
    train.train,
    evaluate.evaluate,
    evaluate.release_check,
    artifact.export,
    artifact.drift_baseline,
    artifact.repack,
):
    main.add_command(_command)
