"""The ASGI application: the API with its routes and adapters, and the layers around it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final, get_args

from fastapi import APIRouter, FastAPI
from opentelemetry import trace
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.adapters import Adapter
from service.api_document import CONTACT, DESCRIPTION, LICENCE, complete, operation_id
from service.edge.admission import AdmissionLayer
from service.edge.hosts import ANY, Hosts
from service.edge.paths import Paths
from service.edge.quick_refusal import QuickRefusal
from service.edge.request import RequestLayer, request_path
from service.error_handlers import install_error_handlers
from service.routes import (
    analyze,
    operations,
    pages,
    predict,
    stream,
)
from service.routes.direct import DirectLayer
from service.routes.model_route import DirectHandler, ModelRoute
from service.settings import AdapterName, Settings
from service.state import Service

# Busiest first: routes are tried in this order.
ROUTERS = (predict.router, stream.router, analyze.router, operations.router, pages.router)
# Then the adapters that SENTIMENT_COMPAT names.
ADAPTER_NAMES: Final = get_args(AdapterName)

# Response headers that scripts of another origin may read.
EXPOSED_HEADERS = (
    "X-Request-ID",
    "Server-Timing",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "WWW-Authenticate",
)


class Api(FastAPI):
    """The framework's application, with an OpenAPI document of the whole service."""

    def __init__(self, service: Service, paths: Paths, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.state.service = service
        self._settings = service.settings
        self.paths = paths

    def openapi(self) -> dict[str, Any]:
        """See ``FastAPI.openapi``."""
        if not self.openapi_schema:
            document = super().openapi()
            complete(document, self._settings, self.paths.needs_key)
        return super().openapi()


class _HideQuery:
    """Keeps the query string, which may hold an API key or a text, out of the framework's spans."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope.get("query_string"):
            trace.get_current_span().set_attribute("url.query", "REDACTED")
        await self._app(scope, receive, send)


def load_adapter(name: AdapterName) -> Adapter:
    """Return an adapter. Its schemas are built now: most services speak no other protocol."""
    adapter: Adapter = import_module(f"service.routes.compat.{name}").ADAPTER
    return adapter


def create_api(service: Service, adapters: Sequence[Adapter] = ()) -> Api:
    """Return the FastAPI application around a service, which its lifespan loads and closes."""
    paths = _paths(adapters)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # A task, not an await: probes are answered while the model loads.
        loading = asyncio.create_task(service.models.load())
        yield
        await loading
        await service.models.close()

    def is_not_traced(scope: MutableMapping[str, Any]) -> bool:
        return scope["type"] != "http" or not paths.is_traced(request_path(scope))

    api = Api(
        service,
        paths,
        title="zh-sentiment",
        description=DESCRIPTION,
        license_info=LICENCE,
        contact=CONTACT,
        generate_unique_id_function=operation_id,
        version=version("zh-sentiment"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Exporters come from the environment alone (OTEL_*, FASTAPI_OTEL_AUTO_CONFIGURE). The
        # framework's logs hold exception messages, and other paths whatever was asked for: both
        # may be a user's text.
        telemetry={"logs": False, "exclude": is_not_traced},
        middleware=[Middleware(_HideQuery)],
    )
    for router in _routers(adapters):
        api.include_router(router)
    api.mount(pages.PUBLIC_FOLDER, pages.web_files, name="web")
    install_error_handlers(api)
    return api


def create_app(
    settings: Settings, service: Service | None = None, hosts: Hosts | None = None
) -> ASGIApp:
    """Return the whole ASGI application, the layers around the API included.

    ``hosts`` is given by a server that knows more names of its own than the settings tell.
    """
    service = service or Service(settings)
    hosts = hosts or Hosts(settings.allowed_hosts or (ANY,))
    adapters = [load_adapter(name) for name in ADAPTER_NAMES if name in settings.compat]
    api = create_api(service, adapters)
    app: ASGIApp = DirectLayer(api, _direct_handlers(adapters))
    app = AdmissionLayer(app, service, hosts, api.paths)
    if settings.cors_origins:
        # Around refusals too, or a browser would not show them; a preflight needs no API key.
        app = CORSMiddleware(
            app,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-Request-ID", "Traceparent"),
            expose_headers=EXPOSED_HEADERS,
        )
    return RequestLayer(app, service, api.paths, adapters)


def quick_refusal(service: Service) -> QuickRefusal:
    """Return what refuses requests to the service's own routes of single bodies on the wire."""
    paths = {route.path for route in _model_routes(())} - {stream.PATH}
    return QuickRefusal(service, paths)


def openapi_document() -> dict[str, Any]:
    """Return what ``/openapi.json`` holds by default, without any adapter."""
    return create_api(Service(Settings(compat=()))).openapi()


def _routers(adapters: Iterable[Adapter]) -> list[APIRouter]:
    return [*ROUTERS, *(router for adapter in adapters for router in adapter.routers)]


def _model_routes(adapters: Sequence[Adapter]) -> list[ModelRoute]:
    return [
        route
        for router in _routers(adapters)
        for route in router.routes
        if isinstance(route, ModelRoute)
    ]


def _direct_handlers(adapters: Sequence[Adapter]) -> dict[str, DirectHandler]:
    return {
        route.path: handler
        for route in _model_routes(adapters)
        if (handler := route.direct_handler()) and "{" not in route.path
    }


def _paths(adapters: Sequence[Adapter]) -> Paths:
    return Paths(
        model=[route.path for route in _model_routes(adapters)],
        streams={stream.PATH: stream.MAX_BYTES_HELD},
        probes=operations.PROBE_PATHS.union(*(adapter.probe_paths for adapter in adapters)),
        public=pages.PUBLIC_PATHS,
        public_folders=(pages.PUBLIC_FOLDER,),
    )
