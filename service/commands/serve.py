"""Commands around the service: start it, make keys for it, describe its API."""

import gettext
import json
from datetime import datetime
from pathlib import Path

import click

from model.errors import printable
from service.api_keys import new_key
from service.commands.options import DIRECTORY
from service.settings import Settings, load_settings, unknown_variables


@click.command()
@click.option("--host", help="Address to listen on; SENTIMENT_HOST, by default 127.0.0.1.")
@click.option("--port", type=int, help="Port to listen on; SENTIMENT_PORT, by default 8000.")
@click.option(
    "-m",
    "--model",
    type=DIRECTORY,
    help="Artifact to serve; SENTIMENT_MODEL, by default zh-general, which ships.",
)
@click.option("--check", is_flag=True, help="Check the settings and the artifacts, then exit.")
def serve(host: str | None, port: int | None, model: Path | None, check: bool) -> None:
    r"""Serve the web page and the HTTP API.

    \b
    sentiment serve --port 8080

    Every setting is an environment variable SENTIMENT_*: docs/operations.md lists them.
    """
    settings = load_settings(host=host, port=port, model=model)
    gettext.textdomain("messages")  # clients are answered in English, whatever the locale
    if check:
        _check(settings)
        return
    if settings.workers > 1:
        from service.process.workers import supervise as run
    else:
        from service.process.server import serve as run
    run(settings)


def _check(settings: Settings) -> None:
    from service.model_registry import load_classifiers

    for name in unknown_variables():
        click.echo(f"sentiment: ignoring unknown setting {printable(name)}", err=True)
    manifests = [each.artifact.manifest for each, _ in load_classifiers(settings)]
    served = ", ".join(f"{manifest.name} {manifest.version}" for manifest in manifests)
    click.echo(f"the settings fit, and {served} can be served")


@click.command()
@click.argument("name")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Last valid day, in UTC.")
def key(name: str, expires: datetime | None) -> None:
    r"""Make an API key for the client called NAME.

    \b
    sentiment key shop >> keys.txt

    The key itself goes to standard error and is stored nowhere. Its line for the file that
    SENTIMENT_API_KEYS_FILE names goes to standard output.
    """
    made, line = new_key(name, expires.date() if expires else None)
    click.echo(f"the key of {name}, shown only once: {made}", err=True)
    click.echo(line)


@click.command()
def openapi() -> None:
    r"""Print the OpenAPI document of the service, as in docs/openapi.json.

    \b
    sentiment openapi > openapi.json
    """
    from service.app import openapi_document

    click.echo(json.dumps(openapi_document(), ensure_ascii=False, indent=1))
