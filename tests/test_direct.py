"""The short way of valid requests answers as the framework's own way does."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.routes.direct import DirectLayer

SURROGATE = '{"items": [{"id": "a", "text": "很好吃"}, {"id": "b", "text": "\\ud800"}]}'
# Of each answer, or of every request.
VARYING = {"server-timing", "x-request-id"}


def answer(client: TestClient, path: str, body: str) -> tuple[int, dict[str, str], Any]:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    headers = {name: value for name, value in response.headers.items() if name not in VARYING}
    content = response.json()
    content.pop("request_id", None)
    return response.status_code, headers, content


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/analyze", "/v1/explain", "/v1/predict/batch"])
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"text": "房间干净，早餐太差！"}, ensure_ascii=False),
        json.dumps({"text": "很好吃", "model": "nowhere"}),
        json.dumps({"items": [{"id": "a", "text": "很好吃"}, {"text": " "}, {"id": "b"}]}),
        SURROGATE,
        json.dumps({"text": "很好吃", "unknown": 1}),
        '{"text": "\\ud800"}',
        '{"text": 1}',
        '{"text": "好", "text": "很好吃"}',
        '{"text": NaN}',
        '{"text"',
        "",
        "[]",
    ],
)
def test_both_ways_give_the_same_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, body: str
) -> None:
    short = answer(client, path, body)
    monkeypatch.setattr(DirectLayer, "_traces", True)
    assert short == answer(client, path, body)


def test_a_valid_request_takes_the_short_way(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.FastAPI.__call__", None)
    assert client.post("/v1/predict", json={"text": "很好吃"}).status_code == 200
