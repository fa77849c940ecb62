"""The OpenAPI document: what the framework cannot know of the API, and what generators like."""

import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi.routing import APIRoute

from service.problems import MEDIA_TYPE, problem, title_of
from service.request_schemas import LIMITED_BY
from service.settings import Settings

Document = dict[str, Any]

DESCRIPTION: Final = """\
Says whether a Chinese text is positive, neutral or negative, how sure that is, and why.

A request is JSON in UTF-8. Every error is a `Problem` (RFC 9457), whose `detail` says what is \
wrong and what to do. Each status has one meaning, whatever the path:

"""
LICENCE: Final = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
CONTACT: Final = {"name": "The maintainers of zh-sentiment"}

_TAGS = {
    "prediction": "Is a text positive, neutral or negative? One text, a batch, or a stream.",
    "explanation": "Which sentences and which words make it so?",
    "operations": "Is the service well, and which models does it serve?",
    "paddlehub": "The protocol of PaddleHub Serving's senta modules.",
    "baidu": "The protocol of Baidu's sentiment analysis.",
    "tei": "The protocol of text-embeddings-inference.",
    "oip": "The Open Inference Protocol, version 2.",
}

# What the service replied to these requests with the model that ships: `bench/examples.py`.
_EXAMPLES = Path(__file__).with_name("examples.json")

# Errors of the head of a request to any path; the second is one of POST alone.
_HEAD_STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.MISDIRECTED_REQUEST)

# A media type, and the key of the schema of its lines.
JSON_LINES: Final = "application/x-ndjson"
LINE_SCHEMA: Final = "x-line-schema"

# When each status is sent, and the detail of such a problem; braces hold a setting.
_PROBLEMS: Final[dict[int, tuple[str, str]]] = {
    400: (
        "The body is not JSON in UTF-8, or the head of the request is not valid HTTP/1.1.",
        "the body is not JSON",
    ),
    401: (
        "The service requires an API key, and the request has none, or one that is unknown or has "
        "expired.",
        "send an API key, as Authorization: Bearer KEY",
    ),
    403: (
        "A page of another origin sent a POST that no preflight guards.",
        "a page of another origin must declare a content-type such as application/json; "
        "SENTIMENT_CORS_ORIGINS lists the origins that may send requests",
    ),
    404: (
        "No model of this name is served, or there is nothing at this path.",
        "no such model is served; GET /v1/models lists them",
    ),
    408: (
        "The body did not arrive within the deadline; the connection is closed.",
        "the body did not arrive within {deadline_seconds:g} s",
    ),
    413: (
        "The body or a text is over its limit, or the text has too many sentences to analyse.",
        "the body is larger than {max_body_bytes} bytes",
    ),
    415: (
        "The body is not declared as what the path reads (`Accept-Post` says what that is), its "
        "charset is not UTF-8, or it is compressed.",
        "send the body with the header content-type: application/json",
    ),
    421: (
        "`Host` names another service.",
        "the service does not answer to this Host; add it to SENTIMENT_ALLOWED_HOSTS if it should",
    ),
    422: (
        "The body does not fit its schema, the text is blank, or there are too many items. "
        "`errors` lists the fields at fault.",
        "the text is empty or blank",
    ),
    429: (
        "The queue is full, too many bytes of request bodies are in flight, or the API key "
        "exceeded its rate. `Retry-After` says when to try again.",
        "too many texts are waiting; try again in a moment",
    ),
    500: (
        "The service failed; its log says why, by the `request_id`.",
        "the service failed; its log says why",
    ),
    503: (
        "The model is loading or could not be loaded, or the service is shutting down.",
        "the model is still loading",
    ),
    504: (
        "There was no answer within the deadline.",
        "no answer within {deadline_seconds:g} s",
    ),
}
_HEADERS = {
    401: ("WWW-Authenticate", "The scheme: `Bearer`."),
    415: ("Accept-Post", "The media types that the path reads."),
    429: ("Retry-After", "Seconds after which to try again."),
    503: ("Retry-After", "Seconds after which to try again."),
}


def operation_id(route: APIRoute) -> str:
    """Return the name of a route's handler, a verb, as generators make functions of it.

    >>> operation_id(APIRoute("/", lambda: None, name="predict_batch"))
    'predictBatch'
    """
    first, *others = route.name.split("_")
    return first + "".join(word.capitalize() for word in others)


def complete(document: Document, settings: Settings, needs_key: Callable[[str, str], bool]) -> None:
    """Add to the framework's document what it cannot know.

    Args:
        document: is changed in place.
        settings: the limits in force.
        needs_key: whether an operation, by method and path, needs a key where there are keys.
    """
    schemas = document["components"]["schemas"]
    _fill_in(document, schemas, settings)
    document["tags"] = [
        {"name": name, "description": description}
        for name, description in _TAGS.items()
        if any(name in operation["tags"] for _, _, operation in _operations(document))
    ]
    examples = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    for method, path, operation in _operations(document):
        _add_head_errors(method, operation["responses"])
        _split_description(operation)
        _describe_success(operation, schemas)
        _declare_lines(operation)
        _add_examples(operation, examples.get(operation["operationId"], {}))
        if settings.api_keys_file and needs_key(method.upper(), path):
            operation["security"] = [{"key": []}]
    if settings.api_keys_file:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    _share_problems(document, settings)


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield method, path, operation


def _fill_in(part: Any, schemas: Document, settings: Settings) -> None:
    """Fill in the limits in force, and move nested definitions to ``schemas``."""
    if isinstance(part, dict):
        schemas |= part.pop("$defs", {})
        for bound, setting in part.pop(LIMITED_BY, {}).items():
            part[bound] = getattr(settings, setting)
    for inner in list(part.values() if isinstance(part, dict) else part):
        if isinstance(inner, (dict, list)):
            _fill_in(inner, schemas, settings)


def _add_head_errors(method: str, responses: Document) -> None:
    """Add the errors of any request's head in the form of the operation's other errors."""
    if "4XX" in responses or "default" in responses:  # which include them
        return
    form = next((responses[status] for status in responses if status >= "400"), None)
    if form is None:
        return
    for status in _HEAD_STATUSES:
        if method == "post" or status is not HTTPStatus.FORBIDDEN:
            responses.setdefault(str(status.value), {**form, "description": status.phrase})


def _split_description(operation: Document) -> None:
    """Make a summary of the first sentence, in place of the handler's name in other letters."""
    first, _, rest = operation["description"].partition("\n\n")
    operation["summary"] = " ".join(first.split()).removesuffix(".")
    if rest:
        operation["description"] = rest
    else:
        del operation["description"]


def _describe_success(operation: Document, schemas: Document) -> None:
    success = operation["responses"]["200"]
    for content in success.get("content", {}).values():
        name = content["schema"].get("$ref", "").rpartition("/")[2]
        if name and success["description"] == "Successful Response":
            success["description"] = schemas[name]["description"]


def _declare_lines(operation: Document) -> None:
    """Declare a body of JSON Lines as the string that it is, and keep the schema of its lines.

    OpenAPI has no word for that before its version 3.2, and generators take the schema of a line
    for that of the body.
    """
    for described in (operation.get("requestBody", {}), operation["responses"]["200"]):
        content = described.get("content", {}).get(JSON_LINES)
        if content:
            content[LINE_SCHEMA] = content.pop("schema")
            content["schema"] = {"type": "string", "format": "binary"}


def _add_examples(operation: Document, example: Document) -> None:
    if "request" in example:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example["request"]
    if "response" in example:
        for content in operation["responses"]["200"]["content"].values():
            content["example"] = example["response"]


def _share_problems(document: Document, settings: Settings) -> None:
    """Describe each error once, and have the operations refer to it."""
    shared: Document = {}
    lines = []
    for status, (when, detail) in _PROBLEMS.items():
        example = problem(status, detail.format(**settings.model_dump()))
        content = {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "example": example.model_dump(exclude_none=True),
        }
        response: Document = {"description": when, "content": {MEDIA_TYPE: content}}
        if status in _HEADERS:
            name, meaning = _HEADERS[status]
            response["headers"] = {name: {"description": meaning, "schema": {"type": "string"}}}
        shared["".join(title_of(status).split())] = response
        lines.append(f"- **{status}**: {when}")
    document["components"]["responses"] = shared
    document["info"]["description"] += "\n".join(lines)
    for _, _, operation in _operations(document):
        for status, response in operation["responses"].items():
            if MEDIA_TYPE in response.get("content", {}):
                name = "".join(title_of(int(status)).split())
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
