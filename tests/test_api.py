"""The API, answered by a model that was really trained, over ASGI."""

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model.engines import BATCH_SIZE, Logits, OnnxEngine
from model.errors import BLANK
from service.app import create_app
from service.settings import load_settings
from tests.support.clock import wait_for
from tests.support.held import HeldEngine, held_client
from tests.support.http import JSON, assert_problem, wait_ready
from tests.support.texts import BLANK_TEXTS, TEXT


@pytest.fixture(scope="module")
def client(tiny_artifact: Path) -> Iterator[TestClient]:
    app = create_app(load_settings(model=tiny_artifact))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def test_one_text_is_answered_in_the_documented_form(client: TestClient) -> None:
    response = client.post("/v1/predict", json={"text": TEXT})
    assert response.status_code == 200
    body = response.json()
    assert list(body) == [
        *("label", "confidence", "probabilities", "uncertain", "uncertain_because"),
        *("text", "model"),
    ]
    assert body["label"] == "positive"
    assert (body["uncertain"], body["uncertain_because"]) == (False, [])
    assert body["confidence"] == body["probabilities"]["positive"]
    assert sum(body["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert body["text"] == {"characters": 4, "tokens": 3, "unknown": 0, "windows": 1}
    assert body["model"]["name"] == "custom"
    assert len(body["model"]["digest"]) == 64


def test_an_answer_tells_the_time_of_its_stages(client: TestClient) -> None:
    header = client.post("/v1/predict", json={"text": TEXT}).headers["server-timing"]
    assert [part.split(";dur=")[0] for part in header.split(", ")] == ["encode", "queue", "infer"]


def test_a_batch_keeps_its_order_and_its_ids(client: TestClient) -> None:
    items = [{"id": "b", "text": "早餐很差"}, {"text": TEXT}, {"id": "a", "text": "电影在三楼"}]
    response = client.post("/v1/predict/batch", json={"items": items})
    assert response.status_code == 200
    results = response.json()["results"]
    assert [result.get("id") for result in results] == ["b", None, "a"]
    assert [result["label"] for result in results] == ["negative", "positive", "neutral"]
    assert "id" not in results[1]


def test_one_bad_item_never_fails_the_rest(client: TestClient) -> None:
    content = (
        '{"items": [{"id": "a", "text": "房间很好"}, {"id": "b", "text": ""}, {"id": "c"}, 5, '
        '{"id": 7.5, "text": "好"}, {"id": "e", "text": "\\ud800"}, {"id": "f", "text": 1}, '
        f'{{"id": "g", "text": "{"好" * 10_001}"}}, {{"id": "h", "text": "早餐很差"}}]}}'
    )
    response = client.post("/v1/predict/batch", content=content.encode(), headers=JSON)
    assert response.status_code == 200, response.text
    results = response.json()["results"]
    assert [result.get("id") for result in results] == ["a", "b", "c", None, None, *"efgh"]
    statuses = [result["error"]["status"] if "error" in result else 200 for result in results]
    assert statuses == [200, 422, 422, 422, 422, 422, 422, 413, 200]
    assert results[2]["error"]["errors"][0]["field"] == "text"


def test_a_batch_takes_texts_and_ids_that_are_numbers(client: TestClient) -> None:
    items = [TEXT, {"id": 2**63 - 1, "text": TEXT}, {"id": 0, "text": ""}, "", "\u200b"]
    results = client.post("/v1/predict/batch", json={"items": items}).json()["results"]
    assert [result.get("id") for result in results] == [None, 2**63 - 1, 0, None, None]
    assert [result.get("label") for result in results] == ["positive", "positive", None, None, None]
    refused: tuple[Any, ...] = (2**63, True, 1.0, [], "a" * 129)
    for identifier in refused:
        items = [{"id": identifier, "text": TEXT}]
        (result,) = client.post("/v1/predict/batch", json={"items": items}).json()["results"]
        assert "id must be a string of at most 128 characters" in result["error"]["detail"]
        assert "id" not in result


@pytest.mark.parametrize(
    ("path", "body", "field", "detail"),
    [
        ("", ["好"], "", 'the body must be an object such as {"text": "…"}'),
        (
            "",
            {"txt": "好"},
            "txt",
            "txt is unknown; the known fields are text, model; text is missing",
        ),
        ("", {"texts": ["好"]}, "texts", 'for several texts, POST {"items": ["…", "…"]} to'),
        ("", {"a": 1, "texts": ["好"]}, "texts", "for several texts, POST"),
        ("", {"text": ["好"]}, "text", "text must be a string"),
        ("", {"text": "好", "model": 1}, "model", "model must be a string"),
        (
            "",
            {"text": "好", "我的": 1},
            "",
            "the body has an unknown field; the known ones are text",
        ),
        ("/batch", ["好"], "", 'the body must be an object such as {"items": ["…", "…"]}'),
        ("/batch", {"texts": ["好"]}, "texts", 'items is missing; send {"items": ["…", "…"]}'),
        ("/batch", {"text": "好"}, "text", 'for one text, POST {"text": "…"} to /v1/predict'),
        ("/batch", {"items": "好"}, "items", "items must be a list"),
        ("/batch", {"items": []}, "items", "items must not be empty"),
    ],
)
def test_an_error_says_what_to_send(
    client: TestClient, path: str, body: Any, field: str, detail: str
) -> None:
    problem = assert_problem(client.post(f"/v1/predict{path}", json=body), 422, detail)
    assert problem["errors"][0]["field"] == field
    for word in ("Input", "dictionary", "valid string", "Field required"):
        assert word not in json.dumps(problem)


def test_an_item_that_is_no_text_is_told_what_to_send(client: TestClient) -> None:
    response = client.post("/v1/predict/batch", json={"items": [5]})
    (result,) = response.json()["results"]
    detail = 'the item must be an object such as {"text": "…"}, or a text'
    assert result["error"]["detail"] == detail


def test_the_models_are_listed(client: TestClient) -> None:
    body = client.get("/v1/models").json()
    assert (body["object"], len(body["data"])) == ("list", 1)
    (model,) = body["data"]
    assert (model["object"], model["name"], model["default"]) == ("model", "custom", True)
    answer = client.post("/v1/predict", json={"text": TEXT, "model": model["id"]})
    assert answer.json()["model"].items() <= model.items()


def test_a_batch_answers_as_the_single_texts_do(client: TestClient) -> None:
    texts = [TEXT, "早餐很差", "电影在三楼"]
    batch = client.post("/v1/predict/batch", json={"items": [{"text": t} for t in texts]}).json()
    for text, result in zip(texts, batch["results"], strict=True):
        single = client.post("/v1/predict", json={"text": text}).json()
        # In int8 a batch shares its rounding.
        assert result["probabilities"] == pytest.approx(single["probabilities"], abs=0.03)


@pytest.mark.parametrize("text", BLANK_TEXTS)
def test_blank_text_is_a_422(client: TestClient, text: str) -> None:
    assert_problem(client.post("/v1/predict", json={"text": text}), 422, "empty or blank")


def test_blank_text_in_a_batch_is_a_422_in_its_place(client: TestClient) -> None:
    items = [{"text": text} for blank in BLANK_TEXTS for text in (TEXT, blank)]
    results = client.post("/v1/predict/batch", json={"items": items}).json()["results"]
    assert [result["label"] for result in results[::2]] == ["positive"] * len(BLANK_TEXTS)
    for result in results[1::2]:
        assert (result["error"]["status"], result["error"]["detail"]) == (422, BLANK)


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (b"", 400, "not JSON"),
        (b'{"text":', 400, "not JSON"),
        (b"\xff\xfe{}", 400, ""),
        (b'{"text": "\xff"}', 400, "UTF-8"),
        (b'{"text": "\xed\xa0\x80"}', 400, "UTF-8"),
        ('{"text": "好"}'.encode("utf-16"), 400, ""),
        ('{"text": "好"}'.encode("utf-32"), 400, ""),
        ('{"text": "好"}'.encode("gbk"), 400, "UTF-8"),
        (b"[" * 5_000, 400, ""),
        (b"[" * 100_000, 413, "values"),
        (b'{"text": ' + b"9" * 5000 + b"}", 400, ""),
        (b"[]", 422, "the body"),
        (b'["text"]', 422, "the body"),
        (b"null", 422, ""),
        (b'"text"', 422, "the body"),
        (b"{}", 422, "text is missing"),
        (b'{"text": null}', 422, "text"),
        (b'{"text": 1}', 422, "text"),
        (b'{"text": ["a"]}', 422, "text"),
        (b'{"text": "\\ud800"}', 422, "surrogate"),
        (b'{"text": "\\ud83d\\ude02\\ude02"}', 422, "surrogate"),
        (b'{"text": "a", "txt": "b"}', 422, "txt is unknown; the known fields are text, model"),
        (b'{"text": "a", "\\ud800": "b"}', 422, ""),
    ],
)
def test_a_bad_body_is_a_clear_problem(
    client: TestClient, content: bytes, status: int, detail: str
) -> None:
    assert_problem(client.post("/v1/predict", content=content, headers=JSON), status, detail)
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "text", ["😂", "hello world", "123", "好\x00", "\u202e好", "a\u0301" * 2000]
)
def test_odd_text_gets_an_answer(client: TestClient, text: str) -> None:
    response = client.post("/v1/predict", json={"text": text})
    assert response.status_code == 200
    if "好" not in text:
        assert response.json()["uncertain"]


def test_a_text_over_its_limit_is_a_413_and_one_at_it_is_not(client: TestClient) -> None:
    assert client.post("/v1/predict", json={"text": "好" * 10_000}).status_code == 200
    assert_problem(client.post("/v1/predict", json={"text": "好" * 10_001}), 413, "10001 char")
    assert_problem(client.post("/v1/predict", json={"text": "a" * 1_000_000}), 413, "1000000")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_its_limit_is_a_413(client: TestClient, chunked: bool) -> None:
    body = json.dumps({"text": "a" * 3_000_000}).encode()
    content = iter([body[:1_500_000], body[1_500_000:]]) if chunked else body
    assert_problem(client.post("/v1/predict", content=content, headers=JSON), 413, "body")


@pytest.mark.parametrize("length", ["99999999999", "0" * 30 + "99999999", "9" * 5000])
def test_an_announced_body_over_the_limit_is_refused_unread(
    client: TestClient, length: str
) -> None:
    headers = {**JSON, "content-length": length}
    assert_problem(client.post("/v1/predict", content=b"{}", headers=headers), 413, "2097152")


def test_many_bad_items_stop_at_the_first_bound(client: TestClient) -> None:
    response = client.post("/v1/predict/batch", json={"items": [0] * 4_000})
    body = assert_problem(response, 422, "at most 1024 items")
    assert len(body["errors"]) == 1


def test_many_unknown_fields_are_one_error_that_repeats_none(client: TestClient) -> None:
    fields = {f"秘密{number}": 1 for number in range(4_000)}
    response = client.post("/v1/predict", json={"text": "a", **fields})
    body = assert_problem(response, 422, "has an unknown field; the known ones are text, model")
    assert len(body["errors"]) == 1
    assert "秘密" not in json.dumps(body, ensure_ascii=False)
    response = client.post("/v1/predict/batch", json={"items": [{"text": "a", **fields}]})
    assert "秘密" not in response.text
    assert len(response.json()["results"][0]["error"]["errors"]) == 1


def test_too_many_items_are_a_422(client: TestClient) -> None:
    items = [{"text": TEXT}] * 257
    assert_problem(client.post("/v1/predict/batch", json={"items": items}), 422, "limit is 256")
    items = [{"text": TEXT}] * 1025
    assert_problem(client.post("/v1/predict/batch", json={"items": items}), 422, "items")
    assert_problem(client.post("/v1/predict/batch", json={"items": []}), 422, "items")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=gbk"},
        {**JSON, "content-encoding": "gzip"},
    ],
)
def test_another_media_type_is_a_415(client: TestClient, headers: dict[str, str]) -> None:
    assert_problem(client.post("/v1/predict", content=b'{"text": "a"}', headers=headers), 415)


def test_a_415_says_what_to_send(client: TestClient) -> None:
    form = client.post("/v1/predict", data={"text": TEXT})
    assert_problem(form, 415, "declared as a form, as by `curl -d`")
    bare = client.post("/v1/predict", content=b"{}")
    assert_problem(bare, 415, "send the body with the header content-type: application/json")
    for media_type in ("text/plain", "application/json; charset=gbk"):
        answer = client.post("/v1/predict", content=b"{}", headers={"content-type": media_type})
        assert answer.headers["accept-post"] == "application/json"
    packed = client.post("/v1/predict", content=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert packed.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "media_type",
    [
        *(
            "application/json; charset=utf-8",
            "application/json;",
            "Application/JSON ; charset=UTF8",
        ),
        *("application/json; charset='utf-8'", 'application/json;charset="utf-8"'),
        *("application/json; charset=us-ascii", "application/json; odata=verbose"),
        *(
            "application/vnd.api+json",
            "application/json; a=b; charset=utf-8; c",
            "application/json;;",
        ),
    ],
)
def test_json_with_parameters_is_json(client: TestClient, media_type: str) -> None:
    headers = {"content-type": media_type}
    response = client.post("/v1/predict", content=b'{"text": "a"}', headers=headers)
    assert response.status_code == 200


def test_unknown_paths_and_methods_have_the_same_body(client: TestClient) -> None:
    assert_problem(client.get("/nothing"), 404)
    assert_problem(client.get("/web/nothing.js"), 404)
    assert_problem(client.get("/v1/predict"), 405, "send a POST with the text in its body")
    assert_problem(client.post("/livez"), 405, "send a GET")
    assert_problem(client.post("/v1/nothing"), 404)
    assert_problem(client.post("/v1/model"), 405)
    assert_problem(client.post("/v1/predict/", json={"text": TEXT}), 404, "leave out the slash")
    prefixed = client.post("/api/v1/predict", json={"text": TEXT})
    assert_problem(prefixed, 404, "set SENTIMENT_ROOT_PATH to the prefix")
    assert "SENTIMENT" not in client.get("/nothing/at/all/").text
    assert_problem(client.get("/a" * 64), 404)


def test_a_request_id_is_kept_where_it_is_plain(client: TestClient) -> None:
    def sent(value: str) -> str:
        return str(client.get("/livez", headers={"x-request-id": value}).headers["x-request-id"])

    assert sent("order-42") == "order-42"
    assert sent("a" * 129) != "a" * 129
    assert sent("a b{}") != "a b{}"


def test_an_unexpected_error_is_a_500_that_leaks_nothing(
    tiny_artifact: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(load_settings(model=tiny_artifact))
    secret = "a secret text"
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)

        def fail(*_: object) -> None:
            raise RuntimeError(secret)

        monkeypatch.setattr("model.classifier.Classifier.probabilities", fail)
        response = client.post("/v1/predict", json={"text": TEXT})
    body = assert_problem(response, 500)
    assert secret not in json.dumps(body)
    assert any(record.exc_info for record in caplog.records)


def test_no_log_line_holds_the_text(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for text in ("秘密的文字", "", "秘密" * 6000):
        client.post("/v1/predict", json={"text": text})
    client.post("/v1/predict", json={"text": "a", "秘密": 1})
    client.post("/v1/analyze", json={"text": "秘密的文字"})
    client.post("/v1/explain", json={"text": "秘密的文字"})
    lines = [record for record in caplog.records if record.name == "service.access"]
    assert len(lines) == 6
    assert not [r for r in caplog.records if "秘密" in f"{r.getMessage()}{r.__dict__}"]


def test_the_model_is_described_with_every_limit(client: TestClient) -> None:
    body = client.get("/v1/model").json()
    assert body["labels"] == ["positive", "neutral", "negative"]
    assert body["engine"] == "onnx"
    assert body["card"].startswith("---")
    assert body["limits"] == {
        "max_text_characters": 10_000,
        "max_items": 256,
        "max_explained_units": 128,
        "max_body_bytes": 2 * 1024 * 1024,
        "upload_bytes": 64 * 1024 * 1024,
        "batch_texts": 16,
        "queue_texts": 2048,
        "queue_seconds": 0.5,
        "deadline_seconds": 5.0,
        "stream_idle_seconds": 60.0,
        "drain_seconds": 0.0,
        "keep_alive_seconds": 5,
        "rate_limit": None,
        "max_connections": 4096,
        "threads": 0,
        "workers": 1,
    }


def test_probes_of_a_ready_service(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json()["status"] == "ready"
    assert client.get("/health").json()["model"]["name"] == "custom"


def test_a_broken_artifact_never_becomes_ready_and_says_why(tmp_path: Path) -> None:
    app = create_app(load_settings(model=tmp_path))
    with TestClient(app) as client:
        wait_for(lambda: client.get("/health").json()["status"] != "loading")
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "failed"
        assert "is not an artifact, for it has no manifest.json" in health.json()["detail"]
        assert client.get("/livez").status_code == 200
        assert_problem(client.get("/readyz"), 503)
        problem = client.post("/v1/predict", json={"text": TEXT})
        assert_problem(problem, 503, "could not be loaded")
        assert problem.headers["retry-after"] == "1"


@pytest.fixture
def held(tiny_artifact: Path) -> Iterator[tuple[TestClient, HeldEngine]]:
    with held_client(tiny_artifact, deadline_seconds=1) as held:
        yield held


def test_a_full_queue_is_a_429_for_one_text_and_a_batch_and_no_reason_to_go_elsewhere(
    held: tuple[TestClient, HeldEngine],
) -> None:
    client, engine = held
    answers: list[Any] = []
    first = threading.Thread(
        target=lambda: answers.append(client.post("/v1/predict", json={"text": TEXT}))
    )
    first.start()
    assert engine.entered.wait(60)
    single = client.post("/v1/predict", json={"text": TEXT})
    batch = client.post("/v1/predict/batch", json={"items": [{"text": TEXT}]})
    for refusal in (single, batch):
        assert_problem(refusal, 429, "try again")
        assert refusal.headers["retry-after"] == "1"
    for path in ("/readyz", "/health"):
        health = client.get(path)
        assert (health.status_code, health.json()["status"]) == (200, "saturated")
    assert "sentiment_ready 1.0" in client.get("/metrics").text
    assert client.get("/livez").status_code == 200
    engine.released.set()
    first.join()
    assert answers[0].status_code == 200
    wait_ready(client)


def test_no_answer_within_the_deadline_is_a_504(held: tuple[TestClient, HeldEngine]) -> None:
    client, _ = held
    assert_problem(client.post("/v1/predict", json={"text": TEXT}), 504, "no answer within 1 s")


def test_the_openapi_document_names_every_status_and_one_error_body(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path in ("/v1/predict", "/v1/predict/batch", "/v1/analyze", "/v1/explain"):
        responses = document["paths"][path]["post"]["responses"]
        expected = "200 400 401 403 404 408 413 415 421 422 429 500 503 504"
        assert set(responses) == set(expected.split())
    problem = document["components"]["schemas"]["Problem"]
    assert {"type", "title", "status", "detail"} <= set(problem["required"])
    item = document["components"]["schemas"]["BatchItem"]
    assert item["required"] == ["text"]


def test_the_docs_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    for attribute in ("src=", "href="):
        for piece in page.split(attribute)[1:]:
            target = piece.split('"')[1]
            assert "//" not in target
            assert client.get(f"/{target}").status_code == 200


def test_the_engine_has_run_before_the_first_request_may_come(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    run = OnnxEngine.logits

    def counted(engine: OnnxEngine, batch: Sequence[Sequence[int]]) -> Logits:
        runs.append(len(batch))
        return run(engine, batch)

    monkeypatch.setattr(OnnxEngine, "logits", counted)
    with TestClient(create_app(load_settings(model=tiny_artifact))) as client:
        wait_ready(client)
        assert {1, BATCH_SIZE} <= set(runs)
