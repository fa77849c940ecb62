"""The application: routes, error bodies, and a model that loads beside the event loop."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from service.errors import install_error_handlers
from service.middleware import RequestLayer, request_path
from service.routes import analyze, operations, pages, predict, stream
from service.routes.admission import AdmittedJsonRoute
from service.settings import Settings
from service.state import Service

# The busiest first: routes are tried in this order.
ROUTERS = (predict.router, stream.router, analyze.router, operations.router, pages.router)
STREAM_PATHS = frozenset({stream.PATH})
MODEL_PATHS = STREAM_PATHS | {
    route.path
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, AdmittedJsonRoute)
}

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
            await service.model.batcher.close()

    api = FastAPI(
        title="zh-sentiment",
        description=DESCRIPTION,
        version=version("zh-sentiment"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=service.settings.max_body_bytes,
        # Exporters come only by the environment (OTEL_*, FASTAPI_OTEL_AUTO_CONFIGURE). Its logs
        # hold exception messages and other paths hold whatever was asked for: no user text.
        telemetry={"logs": False, "exclude": _is_not_traced},
    )
    api.state.service = service
    for router in ROUTERS:
        api.include_router(router)
    api.mount("/web", pages.web_files(), name="web")
    install_error_handlers(api)
    return api


def _is_not_traced(scope: MutableMapping[str, Any]) -> bool:
    return scope["type"] != "http" or request_path(scope) not in MODEL_PATHS


def create_app(settings: Settings, service: Service | None = None) -> ASGIApp:
    """The whole ASGI application, the outermost layer included."""
    service = service or Service(settings)
    return RequestLayer(create_api(service), service, MODEL_PATHS, STREAM_PATHS)
