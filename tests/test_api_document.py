"""The OpenAPI document: names, descriptions, examples that are true, and errors said once."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bench.examples import CARD_LINES, examples
from model.config import LABELS
from service.app import create_api, create_app, openapi_document
from service.problems import MEDIA_TYPE
from service.settings import Settings, load_settings
from service.state import Service
from tests.support.adapters import whole_document
from tests.support.api_keys import FILE
from tests.support.held import held_client
from tests.support.http import JSON, wait_ready
from tests.support.repository import ROOT
from tests.support.texts import TEXT

Document = dict[str, Any]


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def enums(part: Any) -> Iterator[list[Any]]:
    if isinstance(part, dict):
        if "enum" in part:
            yield part["enum"]
        for inner in part.values():
            yield from enums(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from enums(inner)


def test_operations_are_named_by_verbs() -> None:
    names = [operation["operationId"] for _, operation in operations(whole_document())]
    assert len(set(names)) == len(names)
    verb = re.compile(r"(predict|analyze|explain|check|get|list|request|infer)([A-Z][a-z0-9]*)*")
    for name in names:
        assert verb.fullmatch(name), name
    assert {"predict", "predictBatch", "predictStream", "listModels"} <= set(names)


def test_there_is_one_schema_of_labels() -> None:
    document = whole_document()
    (found,) = [enum for enum in enums(document) if set(enum) == set(LABELS)]
    assert document["components"]["schemas"]["Label"]["enum"] == found


def test_everything_is_described() -> None:
    document = openapi_document()
    assert {"license", "contact", "version", "description"} <= set(document["info"])
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    for place, operation in operations(document):
        assert set(operation["tags"]) <= described, place
        assert " " in operation["summary"], place
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema["description"], name
        for field, value in schema.get("properties", {}).items():
            target = schemas[value["$ref"].rpartition("/")[2]] if "$ref" in value else {}
            assert value.get("description") or target.get("description"), f"{name}.{field}"
            assert not any("description" in choice for choice in value.get("anyOf", ())), field


def test_the_document_names_no_file_that_its_reader_lacks() -> None:
    assert "docs/" not in json.dumps(whole_document())


@pytest.fixture(scope="module")
def shipped() -> Iterator[TestClient]:
    with TestClient(create_app(load_settings())) as client:
        wait_ready(client)
        yield client


def assert_near(given: Any, expected: Any, place: str) -> None:
    """Check that two values are the same, but for the last digits of numbers."""
    if isinstance(expected, dict):
        assert list(given) == list(expected), place
        for key in expected:
            assert_near(given[key], expected[key], f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(given) == len(expected), place
        for number, value in enumerate(expected):
            assert_near(given[number], value, f"{place}.{number}")
    elif isinstance(expected, float):
        # Another processor rounds otherwise, and log-odds stretch what is near 0 or 1.
        assert given == pytest.approx(expected, abs=5e-3), place
    elif not place.endswith(".request_id"):
        assert given == expected, place


def lines(body: str) -> list[Any]:
    return [json.loads(line) for line in body.splitlines()]


def test_the_examples_are_what_the_shipped_model_replies(shipped: TestClient) -> None:
    # After a new model: python -m bench.examples > service/examples.json
    stored = json.loads((ROOT / "service/examples.json").read_text(encoding="utf-8"))
    given = examples(shipped)
    for shown in (stored, given):
        shown["predictStream"]["response"] = lines(shown["predictStream"]["response"])
    assert_near(given, stored, "examples")
    assert len(stored["getModel"]["response"]["card"].splitlines()) == CARD_LINES


def test_each_operation_shows_a_request_and_its_reply() -> None:
    for place, operation in operations(openapi_document()):
        if place == "GET /metrics":
            continue
        for content in operation["responses"]["200"]["content"].values():
            assert content["example"], place
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"], place


def test_errors_are_described_once() -> None:
    document = openapi_document()
    shared = document["components"]["responses"]
    for place, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and (place, status) != ("GET /health", "503"):
                assert set(response) == {"$ref"}, place
                assert response["$ref"].rpartition("/")[2] in shared
    for name, response in shared.items():
        example = response["content"][MEDIA_TYPE]["example"]
        assert example["title"].replace(" ", "") == name
        assert (
            f"**{example['status']}**: {response['description']}"
            in (document["info"]["description"])
        )


def shown_problems(client: TestClient) -> dict[int, Document]:
    document = client.get("/openapi.json").json()
    found = [
        response["content"][MEDIA_TYPE]["example"]
        for response in document["components"]["responses"].values()
    ]
    return {example["status"]: example for example in found}


def assert_shown(client: TestClient, *answers: Any) -> set[int]:
    """Check that problems are those that the document shows, and return their statuses."""
    shown = shown_problems(client)
    for answer in answers:
        assert answer.json().items() >= shown[answer.status_code].items()
    return {answer.status_code for answer in answers}


def test_the_problems_that_are_shown_are_those_that_come(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body = "/v1/predict", {"text": TEXT}
    app = create_app(load_settings(model=tiny_artifact, allowed_hosts="testserver"))
    waiting = TestClient(app)
    seen = assert_shown(waiting, waiting.post(path, json=body))  # without its lifespan
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        page = {"origin": "https://page.example", "content-type": "text/plain"}
        seen |= assert_shown(
            client,
            client.post(path, content=b"{", headers=JSON),
            client.post(path, content=b"{}", headers=page),
            client.post(path, json={**body, "model": "other"}),
            client.post(path, content=b"{}", headers={**JSON, "content-length": "9" * 9}),
            client.post(path, content=b"{}"),
            client.post(path, json={"text": ""}),
            client.post(path, json=body, headers={"host": "other.example"}),
        )
        monkeypatch.setattr("model.classifier.Classifier.probabilities", None)
        seen |= assert_shown(client, client.post(path, json=body))
    monkeypatch.undo()
    with TestClient(create_app(with_keys(tmp_path, model=tiny_artifact))) as client:
        seen |= assert_shown(client, client.post(path, json=body))
    with (
        held_client(tiny_artifact, deadline_seconds=1) as (client, engine),
        ThreadPoolExecutor() as pool,
    ):
        late = pool.submit(client.post, path, json=body)
        assert engine.entered.wait(60)
        seen |= assert_shown(client, client.post(path, json=body), late.result())
    assert seen | {408} == set(shown_problems(waiting))  # for which see test_server.py


def with_keys(directory: Path, **settings: Any) -> Settings:
    file = directory / "keys"
    file.write_text(FILE)
    return load_settings(api_keys_file=file, **settings)


def test_locks_are_shown_only_where_keys_are_asked_for(tmp_path: Path) -> None:
    assert "security" not in json.dumps(openapi_document())
    document = create_api(Service(with_keys(tmp_path))).openapi()
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "http", "scheme": "bearer"}
    }
    for place, operation in operations(document):
        assert operation.get("security", []) == ([{"key": []}] if " /v1" in place else []), place
