"""``sentiment health``, which runs every few seconds and therefore imports little."""

import http.client
import json
import sys

import click

from model.errors import printable


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--host",
    default="127.0.0.1",
    envvar="SENTIMENT_HOST",
    show_envvar=True,
    help="Address of the service.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    envvar="SENTIMENT_PORT",
    show_envvar=True,
    help="Port of the service.",
)
@click.option("--timeout", type=float, default=3.0, help="Seconds to wait.")
def health(host: str, port: int, timeout: float) -> None:
    r"""Ask a running service for its health: exit code 0 if it serves, busy or not, else 1.

    \b
    sentiment health --port 8080
    """
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104, nothing is bound here
    host = loopback.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/health")
        body = connection.getresponse().read().decode()
        status = json.loads(body)["status"]
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        click.echo(f"sentiment: no service answers on {host}:{port}: {error!r}", err=True)
        sys.exit(1)
    click.echo(printable(body))
    sys.exit(0 if status in ("ready", "saturated") else 1)
