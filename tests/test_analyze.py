"""``/v1/analyze`` and ``/v1/explain``, over ASGI."""

import asyncio
import json
import math
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from fastapi.testclient import TestClient

from model.classifier import Classifier
from model.engines import Logits
from service.app import create_app
from service.errors import DeadlineError
from service.inference.batcher import Batcher
from service.inference.explainer import Explainer
from service.settings import load_settings
from tests.support.artifacts import SHIPPED
from tests.support.held import HeldEngine, unobserved
from tests.support.http import assert_problem, wait_ready
from tests.support.texts import BLANK_TEXTS

TEXT = "房間很乾淨！🪗服務也好，\n就是ＡＰＰ太差…下次不來了。[泪]"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    # However busy the machine that tests are run on is.
    patient = load_settings(model=SHIPPED, deadline_seconds=60, max_queue_seconds=60)
    app = create_app(patient)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def counted(client: TestClient) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("sentiment_predictions_total")
    )


def test_a_text_is_analysed_as_a_whole_and_by_its_sentences(client: TestClient) -> None:
    before = counted(client)
    body = client.post("/v1/analyze", json={"text": TEXT}).json()
    assert counted(client) == before + 1  # a sentence is no text of its own
    sentences = [sentence["text"] for sentence in body["sentences"]]
    assert sentences == ["房間很乾淨！🪗", "服務也好，", "就是ＡＰＰ太差…", "下次不來了。[泪]"]
    for sentence in body.pop("sentences"):
        end = sentence["offset"] + sentence["length"]
        assert sentence["text"] == TEXT[sentence["offset"] : end]
        alone = client.post("/v1/predict", json={"text": sentence["text"]}).json()
        assert sentence["label"] == alone["label"]
        # In int8 texts that run together share their rounding.
        assert sentence["probabilities"] == pytest.approx(alone["probabilities"], abs=0.03)
        assert sentence["confidence"] == sentence["probabilities"][sentence["label"]]
    whole = client.post("/v1/predict", json={"text": TEXT}).json()
    assert body["probabilities"] == pytest.approx(whole["probabilities"], abs=0.03)
    assert {**body, "probabilities": 0, "confidence": 0} == {
        **whole,
        "probabilities": 0,
        "confidence": 0,
    }


def test_an_explanation_is_of_the_answer_that_predict_gives(client: TestClient) -> None:
    body = client.post("/v1/explain", json={"text": TEXT}).json()
    assert body.pop("unit") == "token"
    tokens, reference = body.pop("tokens"), body.pop("reference")
    assert body.pop("clauses") == []
    assert body == client.post("/v1/predict", json={"text": TEXT}).json()
    differences = [
        abs(reference["probabilities"][label] - body["probabilities"][label])
        for label in body["probabilities"]
    ]
    assert reference["difference"] == pytest.approx(max(differences), abs=2e-6)
    assert reference["difference"] < 0.05

    read = [token for token in tokens if not token["dropped"]]
    assert len(read) == body["text"]["tokens"]
    assert [token["text"] for token in read if token["unknown"]] == ["🪗"]
    assert body["text"]["unknown"] == 1
    for token in tokens:
        assert token["text"] == TEXT[token["offset"] : token["offset"] + token["length"]]
        assert (token["gates"] is None) == token["dropped"]
        assert sum(token["without"].values()) == pytest.approx(1, abs=1e-5)
        assert token["punctuation"] == (token["text"] in "！，…。")
    by_text = {token["text"]: token for token in read}
    assert by_text["乾淨"]["normalized"] == "干净"
    assert by_text["乾淨"]["contribution"]["positive"] > 0
    assert by_text["太"]["normalized"] == "太"
    assert set(by_text["太"]["gates"]) == set(by_text["太"]["retained"]) == {"forward", "backward"}
    assert set(by_text["太"]["gates"]["forward"]) == {"input", "forget", "output"}


def test_negation_is_what_makes_the_difference(client: TestClient) -> None:
    body = client.post("/v1/explain", json={"text": "这家店的菜不好吃"}).json()
    assert body["label"] == "negative"
    tokens = {token["normalized"]: token["contribution"]["negative"] for token in body["tokens"]}
    assert max(tokens, key=lambda word: tokens[word]) in ("不", "不好吃")


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/explain"])
@pytest.mark.parametrize(
    ("text", "status", "detail"),
    [
        *[(text, 422, "empty or blank") for text in BLANK_TEXTS],
        ("\ud800", 422, "surrogate"),
        ("好" * 10_001, 413, "10001 characters"),
    ],
)
def test_a_text_that_cannot_be_read_is_the_same_problem_everywhere(
    client: TestClient, path: str, text: str, status: int, detail: str
) -> None:
    content = json.dumps({"text": text}, ensure_ascii=text == "\ud800").encode()
    headers = {"content-type": "application/json"}
    assert_problem(client.post(path, content=content, headers=headers), status, detail)


def test_a_line_of_markup_is_no_sentence(client: TestClient) -> None:
    body = client.post("/v1/analyze", json={"text": "房间很好。\n<br>\n早餐太差"}).json()
    assert [sentence["text"] for sentence in body["sentences"]] == ["房间很好。", "早餐太差"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("👍👍", ["👍", "👍"]),
        ("！！！", ["！！！"]),
        ("[泪]", ["[泪]"]),
        ("(≧▽≦)", ["(≧▽≦)"]),
    ],
)
def test_signs_alone_are_an_answer_with_reasons(
    client: TestClient, text: str, read: list[str]
) -> None:
    response = client.post("/v1/explain", json={"text": text})
    assert response.status_code == 200
    units = response.json()["tokens"]
    assert [unit["text"] for unit in units] == read
    for token in units:
        assert max(map(abs, token["contribution"].values())) > 0


def test_a_token_written_by_references_is_the_whole_of_them(client: TestClient) -> None:
    text = "早餐&#22826;&#x5dee;&hearts;"
    tokens = client.post("/v1/explain", json={"text": text}).json()["tokens"]
    assert [(token["normalized"], token["text"]) for token in tokens] == [
        ("早餐", "早餐"),
        ("太", "&#22826;"),
        ("差", "&#x5dee;"),
        ("♥", "&hearts;"),
    ]
    for token in tokens:
        assert text[token["offset"] :].startswith(token["text"])
        assert len(token["text"]) == token["length"]


@pytest.mark.parametrize(
    "text",
    [
        "房间很好。" * 33,  # of four tokens each
        "在 " * 130 + "好吃",  # stopwords
        "房间很好，早餐太差。" * 1000,  # the limit
        "好" * 10_000,
    ],
)
def test_a_text_of_many_tokens_is_explained_by_its_clauses(client: TestClient, text: str) -> None:
    body = client.post("/v1/explain", json={"text": text}).json()
    assert (body["unit"], body["tokens"]) == ("clause", [])
    units = body["clauses"]
    assert 1 < len(units) <= 128
    for before, after in pairwise(units):
        assert before["offset"] + before["length"] <= after["offset"]
    for unit in units:
        assert text[unit["offset"] :].startswith(unit["text"])
        assert (unit["gates"] is None) == unit["dropped"]


def test_a_text_of_few_tokens_is_explained_by_them(client: TestClient) -> None:
    body = client.post("/v1/explain", json={"text": "房间很好。" * 32}).json()
    assert (body["unit"], len(body["tokens"])) == ("token", 128)
    one = client.post("/v1/explain", json={"text": "x" * 129}).json()
    assert (one["unit"], one["tokens"][0]["unknown"]) == ("token", True)


def test_a_contribution_is_by_how_much_the_log_odds_change(client: TestClient) -> None:
    body = client.post("/v1/explain", json={"text": "房间很好，早餐太差"}).json()

    def odds(probabilities: dict[str, float]) -> dict[str, float]:
        return {label: math.log(p / (1 - p)) for label, p in probabilities.items()}

    for unit in body["tokens"]:
        with_it, without = odds(body["probabilities"]), odds(unit["without"])
        expected = {label: with_it[label] - without[label] for label in without}
        assert unit["contribution"] == pytest.approx(expected, abs=0.001)


def test_too_many_sentences_are_a_413(client: TestClient) -> None:
    many = {"text": "好。" * 257}
    assert_problem(client.post("/v1/analyze", json=many), 413, "257 sentences")
    assert len(client.post("/v1/analyze", json={"text": "好。" * 256}).json()["sentences"]) == 256


class HeldAfter(HeldEngine):
    """Answers for a text after a while, and is held where its tokens are left out."""

    seconds = 0.0

    def logits(self, batch: Sequence[Sequence[int]]) -> Logits:
        if len(batch) == 1:
            time.sleep(self.seconds)
            return self.engine.logits(batch)
        return super().logits(batch)


async def test_an_explanation_keeps_its_place_and_one_deadline(
    tiny_classifier: Classifier,
) -> None:
    engine = HeldAfter(tiny_classifier.engine)
    classifier = Classifier(tiny_classifier.artifact, engine, threads=1)
    settings = load_settings(deadline_seconds=1.0)
    batcher = Batcher(classifier, settings, unobserved)
    explainer = Explainer(classifier, batcher, settings)
    engine.seconds = 0.6
    began = time.monotonic()
    explaining = asyncio.create_task(explainer.explain("房间很好"))
    await asyncio.to_thread(engine.entered.wait, 10)
    assert batcher.admission.texts == 1
    with pytest.raises(DeadlineError):
        await explaining
    assert time.monotonic() - began < 1.5  # one a stage would be 1.6
    assert batcher.admission.texts == 0
    engine.released.set()
    answer, explanation = await explainer.explain("房间很好")
    assert answer.outcomes == [explanation.prediction]
    assert len(explanation.units) == 3
    await batcher.close()
