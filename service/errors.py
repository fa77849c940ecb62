"""Every error leaves as one body, RFC 9457 ``application/problem+json``.

On the paths of an adapter (``service/routes/compat``) it leaves in the form of that protocol.
"""

import json
from collections.abc import Callable, Mapping, Sequence, Set
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Mount

from model.errors import BlankTextError, SentimentError, TextLimitError

# Of one answer, and the longest that one of them says of where and what.
_MAX_FIELD_ERRORS = 16
_MAX_FIELD_ERROR_LENGTH = 256

MEDIA_TYPE = "application/problem+json"
# No client sees it; logs and metrics of web servers know it by this number.
CLIENT_GONE = 499


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Path of the field, its parts joined by dots.")
    message: str
    type: str


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(description="A URI that names the kind of problem.")
    title: str
    status: int
    detail: str
    instance: str | None = Field(default=None, description="The path that was asked for.")
    request_id: str | None = None
    errors: list[FieldError] | None = Field(default=None, description="The fields at fault.")


# How a protocol says a problem; its status line is its own.
ErrorForm = Callable[[Problem], Response]


class ServiceError(Exception):
    """Base of the errors of serving itself; the detail is fit for the client."""

    status: ClassVar = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: ClassVar[Mapping[str, str]] = {}
    # What it is counted as, where the status does not tell.
    reason: ClassVar[str | None] = None

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotReadyError(ServiceError):
    """The model is still loading or could not be loaded, or a probe asks while draining."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers: ClassVar = {"retry-after": "1"}


class InvalidHeadersError(ServiceError):
    """The head of a request can be read in more than one way, or lacks what it must have."""

    status = HTTPStatus.BAD_REQUEST


class MisdirectedRequestError(ServiceError):
    """The request is for a host that the service is not."""

    status = HTTPStatus.MISDIRECTED_REQUEST


class ForeignOriginError(ServiceError):
    """A page of an origin that may not ask sent the request."""

    status = HTTPStatus.FORBIDDEN


class MissingApiKeyError(ServiceError):
    """The request has no key, where one is asked for."""

    status = HTTPStatus.UNAUTHORIZED
    headers: ClassVar = {"www-authenticate": "Bearer"}


class InvalidApiKeyError(MissingApiKeyError):
    """The request has a key that is unknown or has expired."""

    headers: ClassVar = {"www-authenticate": 'Bearer error="invalid_token"'}  # RFC 6750


class RateLimitError(ServiceError):
    """A key has made as many requests as it may for now."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    reason = "rate_limited"


class QueueFullError(ServiceError):
    """More texts are waiting than the queue holds."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    headers: ClassVar = {"retry-after": "1"}


class InflightBodiesFullError(ServiceError):
    """The bodies under way would be more bytes than the limit in force."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    headers: ClassVar = {"retry-after": "1"}
    reason = "inflight_bodies_full"


class SlowBodyError(ServiceError):
    """The body did not arrive within the deadline."""

    status = HTTPStatus.REQUEST_TIMEOUT
    headers: ClassVar = {"connection": "close"}  # the rest would follow on it


class DeadlineError(ServiceError):
    """The answer did not come within the deadline."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class UnknownModelError(ServiceError):
    """The request names a model that is not served."""

    status = HTTPStatus.NOT_FOUND


class TooManyItemsError(ServiceError):
    """A batch has more items than the limit in force."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class UnsupportedMediaTypeError(ServiceError):
    """The body is not declared as what the route reads."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self, detail: str, headers: Mapping[str, str]) -> None:
        """``headers`` say what can be read."""
        super().__init__(detail)
        self.headers = headers  # type: ignore[misc]


class BodyLimitError(ServiceError):
    """The request body is larger than the limit in force."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnreadableBodyError(ServiceError):
    """The body cannot be read as what it should be."""

    status = HTTPStatus.BAD_REQUEST


_MODEL_STATUS: dict[type[SentimentError], HTTPStatus] = {
    BlankTextError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TextLimitError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}

METHOD_NOT_ALLOWED = "this path does not take that method"

_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


def problem(
    status: int, detail: str, errors: list[FieldError] | None = None, **members: Any
) -> Problem:
    """A problem body; its kind follows from the status."""
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    kind = "-".join(title.lower().split())
    return Problem(
        type=f"urn:zh-sentiment:problem:{kind}",
        title=title,
        status=status,
        detail=detail,
        errors=errors,
        **members,
    )


def allowed(methods: Set[str]) -> str:
    """The header ``Allow`` for a path with such methods, and those that every path has."""
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


def text_problem(error: SentimentError) -> Problem:
    """The problem body for a text that cannot be classified."""
    return problem(_MODEL_STATUS[type(error)], str(error))


def field_errors(errors: Sequence[Any]) -> list[FieldError]:
    """Pydantic's errors without the values that were sent: an error repeats no user text."""
    return [
        FieldError(
            field=".".join(str(part) for part in error["loc"] if part != "body")[
                :_MAX_FIELD_ERROR_LENGTH
            ],
            message=error["msg"][:_MAX_FIELD_ERROR_LENGTH],
            type=error["type"],
        )
        for error in errors[:_MAX_FIELD_ERRORS]
    ]


def describe_field(error: FieldError) -> str:
    """A field's error in a phrase; an error without a field is about the whole."""
    return f"{error.field or 'the body'}: {error.message}"


def problem_response(
    request: Request, body: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """A response that holds a problem, with the request that it belongs to."""
    state = request.scope.get("state", {})
    form: ErrorForm | None = state.get("error_form")
    if form:
        state["status"] = body.status
        response = form(body)
        response.headers.update(headers or {})
        return response
    located = body.model_copy(
        update={"instance": request.scope["path"], "request_id": state.get("request_id")}
    )
    return Response(
        json.dumps(located.model_dump(exclude_none=True), ensure_ascii=True),
        status_code=body.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def error_response(request: Request, error: ServiceError) -> Response:
    """The response to an error of serving; its reason stays with the request, to be counted."""
    request.scope.setdefault("state", {})["refusal"] = error.reason
    return problem_response(request, problem(error.status, error.detail), error.headers)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return error_response(request, error)


async def _on_model_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SentimentError)
    return problem_response(request, text_problem(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    no_body = found[0]["type"] == "missing" and found[0]["loc"] == ("body",)
    if no_body or found[0]["type"] == "json_invalid":
        return problem_response(request, problem(400, "the body is not JSON"))
    errors = field_errors(found)
    return problem_response(request, problem(422, describe_field(errors[0]), errors))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        400: "the body cannot be read as JSON in UTF-8",
        404: "there is nothing at this path",
        413: "the body is larger than the limit",
    }
    detail = details.get(error.status_code, HTTPStatus(error.status_code).phrase)
    return problem_response(request, problem(error.status_code, detail), error.headers)


async def _on_wrong_method(request: Request, error: Exception) -> Response:
    """Names the methods of a path, which is all that OPTIONS asks for."""
    scope = request.scope
    # The folder of static files takes its own path away.
    scope = {**scope, "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
    methods = {
        method
        for method in ("GET", "POST")
        for route in request.app.routes
        if route.matches({**scope, "method": method})[0] is Match.FULL
        if method == "GET" or not isinstance(route, Mount)
    }
    headers = {"allow": allowed(methods)}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    return problem_response(request, problem(405, METHOD_NOT_ALLOWED), headers)


async def on_unexpected_error(request: Request, error: Exception) -> Response:
    """The answer to a request that met an error which nobody foresaw."""
    return problem_response(request, problem(500, "the service failed; the log says more"))


def install_error_handlers(app: FastAPI) -> None:
    """Gives every error of the service, the model and the framework its one body."""
    app.add_exception_handler(ServiceError, _on_service_error)
    for kind in _MODEL_STATUS:
        app.add_exception_handler(kind, _on_model_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(405, _on_wrong_method)
    app.add_exception_handler(Exception, on_unexpected_error)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems that a route can answer with."""
    return {
        status: {
            "description": _TITLES.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
