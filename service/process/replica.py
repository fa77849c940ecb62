"""The service as a Ray Serve replica; Serve imports ``app`` from here. See docs/ray.md."""

import asyncio

from ray import serve
from starlette.types import ASGIApp

from service.app import create_app
from service.process.logs import configure_logging
from service.process.runtime import exclude_from_collection
from service.settings import load_settings
from service.state import Service


class Replica:
    """One process of the application, with its own model, queue and limits."""

    def __init__(self) -> None:
        """Read the settings of the machine where the replica runs.

        Raises:
            ConfigError: a setting is invalid.
        """
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        self._service = Service(settings, after_load=exclude_from_collection)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._service.settings, self._service)

    async def check_health(self) -> None:
        """Return once the model is loaded; Ray Serve sends no requests before.

        Raises:
            RuntimeError: loading failed or an inference hangs, so Serve starts another replica.
        """
        while self._service.status == "loading":
            await asyncio.sleep(0.05)
        self._service.tick()
        if self._service.status == "failed":
            raise RuntimeError(self._service.describe())


# Options that differ between clusters are in deploy/ray/serve.yaml.
app = serve.deployment(serve.ingress()(Replica), name="sentiment").bind()
