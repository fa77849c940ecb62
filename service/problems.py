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

# What is wrong with a field, by pydantic's type of error, whose own words are a programmer's.
_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} items",
    "too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}

# Titles by RFC 9110, where Python has those of older RFCs.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(
        description="Path of the field, its parts joined by dots; empty for the whole body."
    )
    message: str = Field(description="What is wrong with it.")
    type: str = Field(description="A short name of the rule that it breaks.")


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(description="A URI that names the kind of problem.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong, and what to do about it.")
    instance: str | None = Field(default=None, description="The path that was asked for.")
    request_id: str | None = Field(
        default=None, description="The `X-Request-ID` of the response, by which the log has it."
    )
    errors: list[FieldError] | None = Field(default=None, description="The fields at fault.")


# How another protocol puts a problem; the status line may differ from the problem's status.
ErrorForm = Callable[[Problem], Response]


def problem(status: int, detail: str, errors: list[FieldError] | None = None) -> Problem:
    """Return a problem whose type and title follow from its status."""
    title = title_of(status)
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
            field=_field(error)[:_MAX_FIELD_ERROR_LENGTH],
            message=_message(error)[:_MAX_FIELD_ERROR_LENGTH],
            type=error["type"],
        )
        for error in errors[:_MAX_FIELD_ERRORS]
    ]


def _field(error: Any) -> str:
    parts = [str(part) for part in error["loc"] if part != "body"]
    if name := error.get("ctx", {}).get("field"):
        parts.append(name)
    return ".".join(parts)


def _message(error: Any) -> str:
    template = _MESSAGES.get(error["type"])
    if template is not None:
        return template.format(**error.get("ctx", {}))
    message: str = error["msg"]
    return message.replace("Input should be", "must be", 1)


def describe_field(error: FieldError, whole: str = "the body") -> str:
    """Return a field error as a phrase; one without a field is about ``whole``."""
    return f"{error.field or whole} {error.message}"


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problems that a route may respond with."""
    return {
        status: {
            "description": title_of(status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def title_of(status: int) -> str:
    """Return a status in words, as RFC 9110 has them."""
    return _TITLES.get(status, HTTPStatus(status).phrase)
