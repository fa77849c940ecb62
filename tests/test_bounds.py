"""Whatever a client sends has a bound: the schemas of requests say so, and errors keep to it."""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, ValidationError

import service.error_handlers
import service.request_schemas
from bench.fuzz import POSTS
from service.app import create_app
from service.problems import FieldError, field_errors
from service.settings import MAX_BATCH_ITEMS, AdapterName, load_settings
from tests.support.adapters import whole_document
from tests.support.http import JSON, assert_problem, wait_ready

Schema = dict[str, Any]

# An enumeration, a constant, and what has but two or three values.
_FEW = ("enum", "const")
_BOUNDS = {
    "array": ("maxItems",),
    "string": ("maxLength",),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
    "boolean": (),
    "null": (),
}


def requests(document: Schema) -> Iterator[tuple[str, Schema]]:
    """The schema of each parameter and body that a client may send, and where it is."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", ()):
                yield f"{place} {parameter['in']} {parameter['name']}", parameter["schema"]
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                # A stream has no bound, but each of its lines.
                yield f"{place} {media_type}", content.get("x-line-schema", content["schema"])


def unbounded(document: Schema, schema: Schema, place: str) -> Iterator[str]:
    """What has no bound in a schema."""
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        yield from unbounded(document, found, place)
        return
    if any(word in schema for word in _FEW):
        return
    choices = [each for word in ("anyOf", "oneOf", "allOf") for each in schema.get(word, ())]
    for number, choice in enumerate(choices):
        yield from unbounded(document, choice, f"{place} | {number}")
    if choices:
        return
    kind = schema.get("type")
    if kind == "object":
        # Others are not read: they are refused, or passed over.
        if not schema.get("properties"):
            yield f"{place}: an object of nobody knows what"
        for name, property_ in schema.get("properties", {}).items():
            yield from unbounded(document, property_, f"{place}.{name}")
        if isinstance(schema.get("additionalProperties"), dict):
            yield f"{place}: as many properties as one likes"
        return
    if kind not in _BOUNDS:
        yield f"{place}: of any type"
        return
    for bound in _BOUNDS[kind]:
        if bound not in schema:
            yield f"{place}: {kind} without {bound}"
    if kind == "array":
        yield from unbounded(document, schema.get("items", {}), f"{place}[]")


def test_everything_that_a_request_may_hold_has_a_bound() -> None:
    document = whole_document()
    schemas = dict(requests(document))
    assert len(schemas) >= 20
    for place, schema in schemas.items():
        assert not list(unbounded(document, schema, place))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "array", "maxItems": 2, "items": {"type": "integer", "minimum": 0}},
        {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "null"}}]},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object"},
        {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": {}},
        {"$ref": "#/components/schemas/Open"},
    ],
)
def test_what_has_no_bound_is_found(schema: Schema) -> None:
    document = {"components": {"schemas": {"Open": {"type": "array", "maxItems": 2}}}}
    assert len(list(unbounded(document, schema, ""))) == 1


def test_the_document_states_the_limits_in_force() -> None:
    for characters, items in ((10_000, 256), (20, 3)):
        document = whole_document(max_text_characters=characters, max_items=items)
        schemas = document["components"]["schemas"]
        assert schemas["PredictRequest"]["properties"]["text"]["maxLength"] == characters
        assert schemas["BatchRequest"]["properties"]["items"]["maxItems"] == items
        assert schemas["SentaRequest"]["properties"]["texts"]["maxItems"] == items
        assert "x-limited-by" not in json.dumps(document)
        assert "$defs" not in json.dumps(document)


# Errors


SIZE = 2_000_000
SECRET = "my key"  # no plain word: of an unknown field that would be named


def many(item: Any) -> list[Any]:
    return [item] * (SIZE // (len(json.dumps(item)) + 2))


# Each is as much as a body may be, and as wrong as it can be.
HOSTILE: dict[str, Any] = {
    "numbers": many(0),
    "strings": many(""),
    "lists": many([]),
    "objects": many({}),
    "wrong items": many({"text": 0, "id": 0, SECRET: 0}),
    "wrong tensors": many({"name": SECRET, "shape": [[], [], []], "datatype": 0, "data": 0}),
    "keys": {f"{SECRET}{number}": 0 for number in range(SIZE // 20)},
    "items of keys": [{f"{SECRET}{number}": 0 for number in range(150)}] * 768,
    "items": [{"text": 0, "id": 0}] * MAX_BATCH_ITEMS,
    "a string": SECRET * (SIZE // len(SECRET)),
    "long names": [{"text": "a", "id": SECRET * 300}] * MAX_BATCH_ITEMS,
    "lists in lists": [[[SECRET] * 200] * 2] * 400,
    "large numbers": [10**300] * (SIZE // 310),
    "halves of characters": many("\ud800"),
}
INFER = "/v2/models/custom/infer"
# The bodies of /v1/analyze and /v1/explain are that of /v1/predict.
ROUTES: dict[str, Any] = {
    path.replace("zh-general", "custom"): body | ({"model": "custom"} if "model" in body else {})
    for path, body in POSTS
    if path not in ("/v1/analyze", "/v1/explain")
}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value is in a body."""
    yield at
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*at, key))
    elif isinstance(value, list):
        yield from places(value[0], (*at, 0))


def replaced(value: Any, at: Sequence[Any], new: Any) -> Any:
    """A body with another value in a place."""
    if not at:
        return new
    changed = value.copy()
    changed[at[0]] = replaced(changed[at[0]], at[1:], new)
    return changed


def hostile_bodies(body: Any) -> Iterator[tuple[str, bytes]]:
    for at in places(body):
        template = json.dumps(replaced(body, at, "HERE"))
        for name, value in HOSTILE.items():
            content = template.replace('"HERE"', json.dumps(value)).encode()
            assert len(content) <= 2 * 1024 * 1024, name
            yield f"{name} at {at}", content


@pytest.fixture(scope="module")
def client(tiny_artifact: Path) -> Iterator[TestClient]:
    settings = load_settings(
        model=tiny_artifact, max_items=MAX_BATCH_ITEMS, compat=",".join(get_args(AdapterName))
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        gc.freeze()  # or collections traverse what other tests have left, and a request pays
        yield client
        gc.unfreeze()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many errors were made, each time that there were any."""
    counts: list[int] = []

    def count(errors: Sequence[Any]) -> list[FieldError]:
        counts.append(len(errors))
        return field_errors(errors)

    for module in (service.error_handlers, service.request_schemas):
        monkeypatch.setattr(module, "field_errors", count)
    return counts


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", ROUTES)
def test_however_wrong_a_body_is_it_is_soon_refused(
    client: TestClient, counted: list[int], path: str
) -> None:
    for name, content in hostile_bodies(ROUTES[path]):
        started = time.process_time()
        json.loads(content)
        parsing = time.process_time() - started
        started = time.process_time()
        answer = client.post(path, content=content, headers=JSON)
        took = time.process_time() - started
        # Of which a slow machine needs as much more as it does for what nobody can help.
        assert took <= max(0.25, 12 * parsing), name
        assert answer.status_code in (200, 400, 413, 422), name
        if answer.status_code != 200:
            assert len(answer.content) < 10_000, name
        if answer.status_code != 200 or "error_code" in answer.json():
            assert SECRET not in answer.text, name
        elif path == "/v1/predict/batch":
            for result in answer.json()["results"]:
                assert len(json.dumps(result)) < 1000
                assert SECRET not in json.dumps(result)
    assert max(counted) <= 16


@pytest.mark.exhaustive
@pytest.mark.parametrize("path", ["/v1/predict/batch", "/predict", INFER])
def test_however_wrong_a_body_is_it_takes_little_more_memory_than_to_read_it(
    client: TestClient, path: str
) -> None:
    def peak(run: Callable[[bytes], object], content: bytes) -> int:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        run(content)
        return tracemalloc.get_traced_memory()[1] - before

    def ask(content: bytes) -> None:
        client.post(path, content=content, headers=JSON)

    contents = dict(hostile_bodies(ROUTES[path]))
    tracemalloc.start()
    try:
        for name, content in contents.items():
            if not name.startswith(("lists at", "wrong tensors", "items at")):
                continue
            assert peak(ask, content) < peak(json.loads, content) + 16 * 1024 * 1024, name
    finally:
        tracemalloc.stop()


def test_a_binary_tensor_of_endless_texts_is_soon_refused(client: TestClient) -> None:
    size = SIZE // 4 * 4
    parameters = {"binary_data_size": size}
    head = json.dumps(
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": parameters}]}
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}
    started = time.process_time()
    answer = client.post(INFER, content=head + bytes(size), headers=headers)
    assert time.process_time() - started < 0.1
    assert answer.status_code == 422
    assert answer.json() == {"error": "more than 1024 texts were sent"}


def test_what_an_error_says_of_a_field_is_short() -> None:
    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")

    with pytest.raises(ValidationError) as caught:
        Closed.model_validate({"a" * 100_000: 1, **{f"b{number}": 1 for number in range(100)}})
    errors = field_errors(caught.value.errors())
    assert len(errors) == 16
    assert max(len(error.field) for error in errors) == 256


def test_numbers_and_names_beyond_their_bounds_are_refused(client: TestClient) -> None:
    body = ROUTES[INFER]
    assert client.post(INFER, json=body).status_code == 200
    for changed in (
        {**body, "id": "a" * 257},
        {"inputs": [{**body["inputs"][0], "shape": [1, 1, 1]}]},
        {"inputs": [{**body["inputs"][0], "shape": [2**31]}]},
        {"inputs": [{**body["inputs"][0], "shape": [-1]}]},
        {"inputs": [{**body["inputs"][0], "shape": []}]},
        {"inputs": [{**body["inputs"][0], "parameters": {"binary_data_size": 2**31}}]},
    ):
        assert client.post(INFER, json=changed).status_code == 422, changed
    for path in (f"/v2/models/{'a' * 257}", f"/v2/models/custom/versions/{'1' * 257}"):
        for answer in (client.get(path), client.post(f"{path}/infer", json=body)):
            assert answer.status_code == 422
            assert "at most 256 characters" in answer.json()["error"]
    hub = {"inputs": "好", "parameters": {"top_k": 2**31}}
    assert client.post("/", json=hub).status_code == 422
    hub["parameters"] = {"top_k": 1000}
    assert client.post("/", json=hub).status_code == 200
    assert_problem(
        client.post("/v1/predict", json={"text": "好", "model": "a" * 257}), 422, "model"
    )
