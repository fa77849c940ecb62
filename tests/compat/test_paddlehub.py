"""PaddleHub's form."""

import pytest
from fastapi.testclient import TestClient

from tests.support.adapters import BAD, PLAIN, probabilities
from tests.support.texts import TEXT


@pytest.mark.parametrize("module", ["senta_lstm", "senta_bilstm"])
def test_paddlehub_gets_two_classes_and_is_told_of_the_third(
    client: TestClient, module: str
) -> None:
    texts = [TEXT, BAD, PLAIN]
    body = {"texts": texts, "batch_size": 8, "use_gpu": True}
    answer = client.post(f"/predict/{module}", json=body)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["msg"]) == ("000", "")
    results = answer.json()["results"]
    assert [result["text"] for result in results] == texts
    for text, result in zip(texts, results, strict=True):
        positive, neutral, negative = probabilities(client, text)
        assert result["positive_probs"] == pytest.approx(positive / (positive + negative), abs=0.03)
        assert result["positive_probs"] + result["negative_probs"] == pytest.approx(1)
        assert result["neutral_probs"] == pytest.approx(neutral, abs=0.03)
        assert (result["sentiment_label"], result["sentiment_key"]) == (
            (1, "positive") if result["positive_probs"] >= 0.5 else (0, "negative")
        )
    assert [result["sentiment_label"] for result in results[:2]] == [1, 0]
    assert results[2]["neutral_probs"] > 0.5
    assert answer.headers["server-timing"]
