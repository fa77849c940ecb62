"""The application: routes, error bodies, and a model that loads beside the event loop."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.edge.hosts import ANY, Hosts
from service.edge.request import (
    AdmissionLayer,
    ModelPaths,
    RequestLayer,
    needs_key,
    request_path,
)
from service.errors import install_error_handlers
from service.routes import (
    analyze,
    operations,
    pages,
    predict,
    stream,
)
from service.routes.compat import baidu, oip, paddlehub, tei
from service.routes.compat.adapter import Adapter
from service.routes.model_route import ModelRoute
from service.schemas import LIMITED_BY
from service.settings import AdapterName, Settings
from service.state import Service

# The busiest first: routes are tried in this order.
ROUTERS = (predict.router, stream.router, analyze.router, operations.router, pages.router)
# Behind them, those that SENTIMENT_COMPAT names.
ADAPTERS: dict[AdapterName, Adapter] = {
    "paddlehub": paddlehub.ADAPTER,
    "baidu": baidu.ADAPTER,
    "tei": tei.ADAPTER,
    "oip": oip.ADAPTER,
}

# What of an answer a page of another origin may read, beside its body.
EXPOSED_HEADERS = (
    "X-Request-ID",
    "Server-Timing",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "WWW-Authenticate",
)

# What the head of a request can meet on any path, the second where it is a POST.
_HEAD_STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)

DESCRIPTION = "Says whether a Chinese text is positive, neutral or negative."


class _Api(FastAPI):
    """Says in its document what the framework cannot know.

    Which operations may need a key, for which the outermost layer asks, and the limits in force.
    """

    def openapi(self) -> dict[str, Any]:
        """See ``FastAPI.openapi``."""
        if not self.openapi_schema:
            document = super().openapi()
            _complete(document, document["components"]["schemas"], self.state.service.settings)
            document["components"]["securitySchemes"] = {
                "key": {"type": "http", "scheme": "bearer"}
            }
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    _add_head_errors(method, operation["responses"])
                    if needs_key(method.upper(), path):
                        # Or none, where SENTIMENT_API_KEYS_FILE asks for none.
                        operation["security"] = [{"key": []}, {}]
        return super().openapi()


def _add_head_errors(method: str, responses: dict[str, Any]) -> None:
    """Adds them in the form of the other errors, unless a form is for all of them or for none."""
    form = next((responses[status] for status in responses if status >= "400"), None)
    if form is None or "4XX" in responses:
        return
    for status in _HEAD_STATUSES:
        if method == "post" or status is not HTTPStatus.FORBIDDEN:
            responses.setdefault(str(status.value), {**form, "description": status.phrase})


def _complete(part: Any, schemas: dict[str, Any], settings: Settings) -> None:
    """Puts the limits in force into a part of the document, and its definitions to the others."""
    if isinstance(part, dict):
        schemas |= part.pop("$defs", {})
        for bound, setting in part.pop(LIMITED_BY, {}).items():
            part[bound] = getattr(settings, setting)
    for inner in list(part.values() if isinstance(part, dict) else part):
        if isinstance(inner, (dict, list)):
            _complete(inner, schemas, settings)


def create_api(service: Service, routers: Sequence[APIRouter], model_paths: ModelPaths) -> FastAPI:
    """The FastAPI application around a service's state, which its lifespan loads."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # A task, not an await: probes are answered while the model loads.
        loading = asyncio.create_task(service.load())
        yield
        await loading
        await service.close()

    def is_not_traced(scope: MutableMapping[str, Any]) -> bool:
        return scope["type"] != "http" or not model_paths.is_plain(request_path(scope))

    api = _Api(
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
        telemetry={"logs": False, "exclude": is_not_traced},
    )
    api.state.service = service
    for router in routers:
        api.include_router(router)
    api.mount("/web", pages.web_files, name="web")
    install_error_handlers(api)
    return api


def create_app(
    settings: Settings, service: Service | None = None, hosts: Hosts | None = None
) -> ASGIApp:
    """The whole ASGI application, the outermost layer included.

    ``hosts`` is for whoever listens and knows more of it than the settings say.
    """
    service = service or Service(settings)
    hosts = hosts or Hosts(settings.allowed_hosts or (ANY,))
    adapters = [adapter for name, adapter in ADAPTERS.items() if name in settings.compat]
    routers = [*ROUTERS, *(router for adapter in adapters for router in adapter.routers)]
    model_paths = ModelPaths(
        {stream.PATH}.union(
            route.path
            for router in routers
            for route in router.routes
            if isinstance(route, ModelRoute)
        )
    )
    api = create_api(service, routers, model_paths)
    app: ASGIApp = AdmissionLayer(api, service, hosts, frozenset({stream.PATH}))
    if settings.cors_origins:
        # Around refusals too, or a browser would not show them; a preflight needs no key.
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-Request-ID", "Traceparent"),
            expose_headers=EXPOSED_HEADERS,
        )
    return RequestLayer(app, service, model_paths, adapters)


def openapi_document() -> dict[str, Any]:
    """What ``/openapi.json`` answers by default, without any adapter."""
    return create_api(Service(Settings(compat=())), ROUTERS, ModelPaths(())).openapi()
