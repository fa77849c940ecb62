"""The one body of every error: RFC 9457 ``application/problem+json``."""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field
from starlette.responses import Response

from model import TextError
from service.errors import ServiceError

MEDIA_TYPE: Final = "application/problem+json"

# Field errors in one response, and characters of each one's path and message.
_MAX_FIELD_ERRORS = 16
_MAX_FIELD_ERROR_LENGTH = 256

# Titles by RFC 9110, where Python has those of older RFCs.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


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


# How another protocol puts a problem; the status line may differ from the problem's status.
ErrorForm = Callable[[Problem], Response]


def problem(status: int, detail: str, errors: list[FieldError] | None = None) -> Problem:
    """Return a problem whose type and title follow from its status."""
    title = _title(status)
    kind = "-".join(title.lower().split())
    return Problem(
        type=f"urn:zh-sentiment:problem:{kind}",
        title=title,
        status=status,
        detail=detail,
        errors=errors,
    )


def problem_of(error: ServiceError | TextError, errors: list[FieldError] | None = None) -> Problem:
    """Return the problem that an error is told as."""
    return problem(error.status, str(error), errors)


def problem_response(body: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a problem as its body."""
    return Response(
        json.dumps(body.model_dump(exclude_none=True), ensure_ascii=True),
        status_code=body.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def field_errors(errors: Sequence[Any]) -> list[FieldError]:
    """Return pydantic's errors without the values that were sent: they may be a user's text."""
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
    """Return a field error as a phrase; one without a field is about the whole body."""
    return f"{error.field or 'the body'}: {error.message}"


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems that a route may respond with."""
    return {
        status: {
            "description": _title(status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def _title(status: int) -> str:
    return _TITLES.get(status, HTTPStatus(status).phrase)
