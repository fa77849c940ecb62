"""The service as a replica of Ray Serve, which imports ``app`` from here; see docs/ray.md."""

import asyncio

from ray import serve
from starlette.types import ASGIApp

from service.app import create_app
from service.process.logs import configure_logging
from service.settings import load_settings
from service.state import Service


class Replica:
    """One process of the same application, with model, queue and limits of its own."""

    def __init__(self) -> None:
        """Reads the settings where the replica runs.

        Raises:
            ConfigError: one of them does not fit.
        """
        settings = load_settings()
        configure_logging(settings.log_level)
        self._service = Service(settings)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._service.settings, self._service)

    async def check_health(self) -> None:
        """Returns once the model is loaded, so that no request comes before; see Ray Serve.

        Raises:
            RuntimeError: it cannot be, or an inference hangs: Serve then starts another replica.
        """
        while self._service.status == "loading":
            await asyncio.sleep(0.05)
        self._service.tick()
        if self._service.status == "failed":
            raise RuntimeError(self._service.describe())


# What may differ from one cluster to the next stands in deploy/ray/serve.yaml.
app = serve.deployment(serve.ingress()(Replica), name="sentiment").bind()
