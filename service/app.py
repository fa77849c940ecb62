"""The application: routes, error bodies, and a model that loads beside the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from service.errors import install_error_handlers
from service.middleware import RequestLayer
from service.routes import operations, pages, predict
from service.settings import Settings
from service.state import Service

DESCRIPTION = "Says whether a Chinese text is positive, neutral or negative."


def create_api(service: Service) -> FastAPI:
    """The FastAPI application around a service's state, which its lifespan loads."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # A task, not an await: probes are answered while the model loads.
        loading = asyncio.create_task(service.load())
        yield
        await loading
        if service.model is not None:
            await asyncio.to_thread(service.model.batcher.close)

    api = FastAPI(
        title="zh-sentiment",
        description=DESCRIPTION,
        version=version("zh-sentiment"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=service.settings.max_body_bytes,
    )
    api.state.service = service
    api.include_router(operations.router)
    api.include_router(predict.router)
    api.include_router(pages.router)
    api.mount("/web", pages.web_files(), name="web")
    install_error_handlers(api)
    return api


def create_app(settings: Settings, service: Service | None = None) -> ASGIApp:
    """The whole ASGI application, the outermost layer included."""
    service = service or Service(settings)
    return RequestLayer(create_api(service), settings.max_body_bytes)
