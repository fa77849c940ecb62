"""From an error, the framework's own included, to the response that tells of it.

It is a problem everywhere but on the paths of an adapter, where its protocol has a form of its own.
"""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount

from model import TextError
from service.errors import (
    InternalError,
    InvalidBodyError,
    MethodNotAllowedError,
    ServiceError,
    UnknownPathError,
    UnreadableBodyError,
)
from service.exchange import exchange_of
from service.headers import allow_header
from service.problems import (
    FieldError,
    Problem,
    describe_field,
    field_errors,
    problem,
    problem_of,
    problem_response,
)

# Characters of a path that is compared with those of the routes.
_MAX_NEAR_PATH = 128


def error_response(
    request: Request, error: ServiceError | TextError, errors: list[FieldError] | None = None
) -> Response:
    """Return the response to an error, and note what to count it as."""
    exchange_of(request).refusal = error.reason
    headers = error.headers if isinstance(error, ServiceError) else None
    return _respond(request, problem_of(error, errors), headers)


def internal_error_response(request: Request) -> Response:
    """Return the response to an unexpected error, without any detail of it."""
    return error_response(request, InternalError())


def install_error_handlers(app: FastAPI) -> None:
    """Give every error of the service, the model and the framework the same form."""
    app.add_exception_handler(ServiceError, _on_known_error)
    app.add_exception_handler(TextError, _on_known_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(405, _on_wrong_method)
    app.add_exception_handler(Exception, _on_unexpected_error)


def _respond(request: Request, body: Problem, headers: Mapping[str, str] | None) -> Response:
    exchange = exchange_of(request)
    exchange.status = body.status
    if exchange.adapter:
        response = exchange.adapter.error_form(body)
        response.headers.update(headers or {})
        return response
    located = {"instance": request.scope["path"], "request_id": exchange.request_id}
    return problem_response(body.model_copy(update=located), headers)


async def _on_known_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError | TextError)
    return error_response(request, error)


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    return internal_error_response(request)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    no_body = found[0]["type"] == "missing" and found[0]["loc"] == ("body",)
    if no_body or found[0]["type"] == "json_invalid":
        return error_response(request, UnreadableBodyError("the body is not JSON"))
    errors = field_errors(found)
    return error_response(request, InvalidBodyError(describe_field(errors[0])), errors)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case HTTPStatus.BAD_REQUEST:
            detail = "the body cannot be read as JSON in UTF-8"
            return error_response(request, UnreadableBodyError(detail, error.headers))
        case HTTPStatus.NOT_FOUND:
            return error_response(request, UnknownPathError(_what_is_near(request)))
        case status:
            return _respond(request, problem(status, HTTPStatus(status).phrase), error.headers)


def _what_is_near(request: Request) -> str:
    """Say that there is nothing at the path of a request, and what to do if it is a near miss."""
    path = exchange_of(request).path
    nothing = "there is nothing at this path"
    if len(path) > _MAX_NEAR_PATH:
        return nothing

    def leads_somewhere(path: str) -> bool:
        scope = {**request.scope, "path": path, "root_path": ""}
        return any(
            route.matches(scope)[0] is not Match.NONE
            for route in request.app.routes
            if not isinstance(route, Mount)
        )

    if path != "/" and path.endswith("/") and leads_somewhere(path.rstrip("/")):
        return f"{nothing}; leave out the slash at its end"
    starts = [place for place, sign in enumerate(path) if sign == "/"]
    if any(leads_somewhere(path[start:]) for start in starts[1:] if path[start:] != "/"):
        return (
            f"{nothing}, but at the end of it; have the proxy strip its prefix from the path, and "
            "set SENTIMENT_ROOT_PATH to the prefix"
        )
    return nothing


async def _on_wrong_method(request: Request, error: Exception) -> Response:
    """Respond with the methods of the path, which is also all that OPTIONS asks for."""
    scope = request.scope
    # The mount of static files has moved its own path into root_path.
    scope = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
    methods = {
        method
        for method in ("GET", "POST")
        for route in request.app.routes
        if route.matches({**scope, "method": method})[0] is Match.FULL
        if method == "GET" or not isinstance(route, Mount)
    }
    allow = allow_header(methods)
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"allow": allow})
    return error_response(request, MethodNotAllowedError(allow))
