"""Pages of other origins, and what every answer tells a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import load_settings
from service.state import Service
from tests.support.adapters import BAIDU
from tests.support.api_keys import SHOP, bearer, predict
from tests.support.http import JSON, assert_secure, wait_ready


def preflight(client: TestClient, origin: str) -> Any:
    return client.options(
        "/v1/predict",
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
        },
    )


def test_no_page_of_another_origin_may_ask_unless_it_is_named(client: TestClient) -> None:
    answer = predict(client, origin="https://a.example", **bearer(SHOP))
    assert not [name for name in answer.headers if name.startswith("access-control")]
    # Which methods there are it may know; without such headers a browser goes no further.
    refused = preflight(client, "https://a.example")
    assert refused.status_code == 204
    assert not [name for name in refused.headers if name.startswith("access-control")]


def test_a_page_that_is_named_may_ask_and_its_preflight_needs_no_key(
    tiny_artifact: Path, keys_file: Path
) -> None:
    settings = load_settings(
        model=tiny_artifact,
        api_keys_file=keys_file,
        cors_origins="https://a.example, https://b.example",
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        for origin in ("https://a.example", "https://b.example"):
            before = preflight(client, origin)
            assert before.status_code == 200
            assert before.headers["access-control-allow-origin"] == origin
            assert "authorization" in before.headers["access-control-allow-headers"].lower()
            assert before.headers["x-request-id"]
            for headers, status in [(bearer(SHOP), 200), ({}, 401)]:
                answer = predict(client, origin=origin, **headers)
                assert answer.status_code == status
                # Or the page could not read why it was refused.
                assert answer.headers["access-control-allow-origin"] == origin
                assert "RateLimit" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        other = preflight(client, "https://c.example")
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
        answer = predict(client, origin="https://c.example", **bearer(SHOP))
        assert "access-control-allow-origin" not in answer.headers


def test_any_page_may_ask_where_the_setting_says_so(tiny_artifact: Path) -> None:
    with TestClient(create_app(load_settings(model=tiny_artifact, cors_origins="*"))) as client:
        wait_ready(client)
        answer = predict(client, origin="https://a.example")
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status"),
    [
        ("POST", "/v1/predict", {}, '{"text": "好"}', 200),
        ("POST", "/v1/predict/batch", {}, '{"items": [{"text": "好"}]}', 200),
        ("POST", "/v1/predict/stream", {"content-type": "application/x-ndjson"}, "", 200),
        ("GET", "/v1/model", {}, "", 200),
        ("GET", "/livez", {}, "", 200),
        ("GET", "/metrics", {}, "", 200),
        ("GET", "/openapi.json", {}, "", 200),
        ("HEAD", "/health", {}, "", 200),
        ("POST", "/v1/predict", {}, "{", 400),
        ("POST", "/v1/predict", {"authorization": "Bearer x"}, "{}", 401),
        ("GET", "/nothing", {}, "", 404),
        ("GET", "/web/nothing.js", {}, "", 404),
        ("GET", "/v1/predict", {}, "", 405),
        ("POST", "/v1/predict", {}, "[" * 200, 413),
        ("POST", "/v1/predict", {"content-type": "text/plain"}, "a", 415),
        ("POST", "/v1/predict", {}, '{"text": " "}', 422),
        ("POST", f"{BAIDU}?charset=UTF-8", {}, '{"text": " "}', 200),
    ],
)
def test_every_answer_has_the_headers_of_security(
    small_client: TestClient,
    method: str,
    path: str,
    headers: dict[str, str],
    content: str,
    status: int,
) -> None:
    given = {**JSON, **bearer(SHOP), **headers}
    answer = small_client.request(method, path, content=content.encode(), headers=given)
    assert answer.status_code == status
    assert_secure(answer)


@pytest.fixture(scope="module")
def small_client(tiny_artifact: Path, keys_file: Path) -> Iterator[TestClient]:
    settings = load_settings(
        model=tiny_artifact, api_keys_file=keys_file, max_body_bytes=100, compat="baidu"
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        yield client


@pytest.mark.parametrize("path", ["/", "/docs", "/web/page/main.js"])
def test_files_have_them_too_and_are_kept(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert_secure(answer, "no-cache")
    again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert_secure(again, "no-cache")


def test_failures_have_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(load_settings(model=tmp_path))
    client = TestClient(create_app(service.settings, service), raise_server_exceptions=False)
    answer = predict(client)
    assert answer.status_code == 503
    assert_secure(answer)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Service, "health", fail)
    answer = client.get("/health")
    assert answer.status_code == 500
    assert_secure(answer)
