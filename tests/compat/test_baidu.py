"""The form of Baidu's API."""

import json
import logging

import pytest
from fastapi.testclient import TestClient

from tests.support.adapters import (
    BAD,
    BAIDU,
    PLAIN,
    probabilities,
)
from tests.support.texts import TEXT


@pytest.mark.parametrize(
    ("query", "encoding"),
    [
        ("", "gbk"),
        ("?charset=GBK&access_token=秘密", "gbk"),
        ("?charset=UTF-8", "utf-8"),
        ("?access_token=秘密&charset=utf-8", "utf-8"),
    ],
)
def test_baidu_has_three_classes_in_either_charset(
    client: TestClient, query: str, encoding: str
) -> None:
    for text, sentiment in [(TEXT, 2), (BAD, 0), (PLAIN, 1)]:
        content = json.dumps({"text": text}, ensure_ascii=False).encode(encoding)
        answer = client.post(BAIDU + query, content=content)
        body = json.loads(answer.content.decode("ascii"))
        assert set(body) == {"log_id", "text", "items"}
        assert body["text"] == text
        assert isinstance(body["log_id"], int)
        (item,) = body["items"]
        positive, neutral, negative = probabilities(client, text)
        assert item["sentiment"] == sentiment
        assert item["confidence"] == pytest.approx(max(positive, neutral, negative), abs=0.03)
        assert item["positive_prob"] == pytest.approx(positive / (positive + negative), abs=0.03)
        assert item["positive_prob"] + item["negative_prob"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("query", "content", "code", "sentence"),
    [
        ("?charset=UTF-8", '{"text": "好"}'.encode("gbk"), 282002, "not UTF-8"),
        ("", b'{"text": "\xff"}', 282002, "not GBK"),
        ("?charset=latin-1", b'{"text": "a"}', 282002, "must be UTF-8 or GBK"),
        ("", b"", 282002, "not JSON"),
        ("", b'{"text": "\\ud800"}', 282002, "not JSON"),
        ("", b"[]", 282004, "the body"),
        ("", b'{"txt": "a"}', 282004, "text is missing"),
        ("", b'{"text": " "}', 282004, "empty or blank"),
    ],
)
def test_baidu_says_errors_with_status_200(
    client: TestClient, query: str, content: bytes, code: int, sentence: str
) -> None:
    answer = client.post(BAIDU + query, content=content)
    assert answer.status_code == 200
    assert answer.json()["error_code"] == code
    assert sentence in answer.json()["error_msg"]


def test_an_error_that_has_status_200_is_counted_as_what_it_is(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert client.post(BAIDU, content=b'{"text": " "}').status_code == 200
    (line,) = [r.__dict__["fields"] for r in caplog.records if r.name == "service.access"]
    assert (line["route"], line["status"]) == (BAIDU, 422)
    assert f'{{route="{BAIDU}",status="422"}}' in client.get("/metrics").text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_keys_a_token_is_given_to_whoever_asks(client: TestClient, method: str) -> None:
    query = "grant_type=client_credentials&client_id=秘密&client_secret=秘密"
    body = client.request(method, f"/oauth/2.0/token?{query}").json()
    assert set(body) == {"access_token", "expires_in", "scope"}
    assert body["access_token"] == "none"
    assert "brain_all_scope" in body["scope"].split()


def test_no_query_of_an_adapter_is_logged(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.get("/oauth/2.0/token?client_secret=secret-key")
    client.post(f"{BAIDU}?charset=secret-key", content=b"{}")
    client.post(f"{BAIDU}?access_token=secret-key", content=b'{"text": "a"}')
    records = [r for r in caplog.records if r.name.startswith(("service", "fastapi", "uvicorn"))]
    assert len(records) == 3
    assert not [r for r in records if "secret-key" in f"{r.getMessage()}{r.__dict__}"]
