"""The form of text-embeddings-inference."""

import math
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.adapters import BAD
from tests.support.texts import TEXT


def test_tei_ranks_every_label(client: TestClient) -> None:
    answer = client.post("/predict", json={"inputs": BAD, "truncate": True})
    assert answer.status_code == 200
    ranked = answer.json()
    assert [set(each) for each in ranked] == [{"score", "label"}] * 3
    assert ranked[0]["label"] == "negative"
    scores = [each["score"] for each in ranked]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("inputs", [[TEXT, BAD], [[TEXT], [BAD]], [TEXT, [BAD]]])
def test_tei_answers_a_list_with_a_list_of_lists(client: TestClient, inputs: Any) -> None:
    answer = client.post("/predict", json={"inputs": inputs}).json()
    assert [ranked[0]["label"] for ranked in answer] == ["positive", "negative"]
    assert len(client.post("/predict", json={"inputs": [TEXT]}).json()[0]) == 3


def test_raw_scores_are_logarithms_of_the_probabilities(client: TestClient) -> None:
    plain = client.post("/predict", json={"inputs": TEXT}).json()
    raw = client.post("/predict", json={"inputs": TEXT, "raw_scores": True}).json()
    for one, other in zip(plain, raw, strict=True):
        assert one["label"] == other["label"]
        assert math.exp(other["score"]) == pytest.approx(one["score"], abs=1e-3)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"inputs": [TEXT, ""]}, 413, "inputs.1: the text is empty or blank"),
        ({"inputs": ""}, 413, "the text is empty or blank"),
        ({"inputs": [TEXT] * 257}, 413, "257 texts were sent; the limit is 256"),
        ({"inputs": [TEXT] * 1025}, 422, "at most 1024"),
        ({"inputs": []}, 422, "inputs.texts"),
        (
            {"inputs": [[TEXT, BAD]]},
            422,
            "texts.0 must hold exactly one text",
        ),
        ({"inputs": [TEXT, 1]}, 422, "inputs.texts.1 must be a string"),
        ({"inputs": None}, 422, "inputs.text must be a string"),
        ({}, 422, "inputs is missing"),
    ],
)
def test_tei_tells_what_fits_no_schema_from_what_fits_no_limit(
    client: TestClient, body: dict[str, Any], status: int, sentence: str
) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == status
    assert answer.json()["error_type"] == "Validation"
    assert sentence in answer.json()["error"]


def test_the_hubs_form_is_a_list_of_lists_for_one_text_too(client: TestClient) -> None:
    def ask(**parameters: Any) -> Any:
        return client.post("/", json={"inputs": BAD, "parameters": parameters})

    ((first, second),) = ask(top_k=2).json()
    assert (first["label"], len(second)) == ("negative", 2)
    assert len(ask().json()[0]) == 3
    assert ask(function_to_apply="none").json()[0][0]["score"] < 0
    for parameters in ({"function_to_apply": "sigmoid"}, {"top_k": 0}):
        assert ask(**parameters).status_code == 422


def test_tei_tells_its_model_and_limits(client: TestClient) -> None:
    body = client.get("/info").json()
    served = client.get("/v1/model").json()
    assert body["model_id"] == served["name"]
    assert body["model_sha"] == served["digest"]
    assert body["model_dtype"] == "int8"
    assert body["model_type"]["classifier"]["id2label"]["2"] == "negative"
    assert body["model_type"]["classifier"]["label2id"]["negative"] == 2
    limits = served["limits"]
    assert body["max_client_batch_size"] == limits["max_items"]
    assert body["max_concurrent_requests"] == limits["queue_texts"]
    assert body["max_input_length"] == limits["max_text_characters"]
    assert body["max_batch_requests"] == limits["batch_texts"]
    assert body["max_batch_tokens"] == limits["batch_texts"] * served["window"]
    assert body["auto_truncate"] is False
