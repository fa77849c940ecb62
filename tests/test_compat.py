"""The adapters: each says what it can in the form of another service, errors included."""

import json
import logging
import math
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from model.errors import ConfigError
from service.app import create_app
from service.edge.paths import Paths
from service.settings import AdapterName, load_settings
from tests.support.adapters import (
    ALL,
    BAIDU,
    FORMS,
    INFER,
    SENTA,
    Form,
    assert_said,
    each_form,
    tensor,
)
from tests.support.held import held_client
from tests.support.http import assert_problem, wait_ready
from tests.support.texts import TEXT

BAD, PLAIN = "早餐很差", "电影在三楼"


@pytest.fixture(scope="module")
def client(tiny_artifact: Path) -> Iterator[TestClient]:
    app = create_app(load_settings(model=tiny_artifact, compat=ALL))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def probabilities(client: TestClient, text: str) -> list[float]:
    answer = client.post("/v1/predict", json={"text": text}).json()
    return list(answer["probabilities"].values())


def assert_off(form: Form, response: Any) -> None:
    assert_problem(response, 405 if form.path == "/" else 404)  # the page is there


# What an adapter adds when it is on.


def test_every_adapter_is_off_by_default(tiny_artifact: Path) -> None:
    with TestClient(create_app(load_settings(model=tiny_artifact))) as client:
        wait_ready(client)
        for form in FORMS:
            assert_off(form, client.post(form.path, json=form.body))
        for path in ("/info", "/v2", "/v2/health/live", "/oauth/2.0/token"):
            assert_problem(client.get(path), 404)
        paths = client.get("/openapi.json").json()["paths"]
        assert not [path for path in paths if path.startswith(("/predict", "/rpc", "/v2", "/o"))]


@pytest.mark.parametrize("name", get_args(AdapterName))
def test_an_adapter_that_is_named_alone_is_on_alone(tiny_artifact: Path, name: str) -> None:
    app = create_app(load_settings(model=tiny_artifact, compat=name))
    with TestClient(app) as client:
        wait_ready(client)
        documented = client.get("/openapi.json").json()["paths"]
        for form in FORMS:
            path = form.path.partition("?")[0].replace("custom", "{name}")
            path = path.replace("0.1.0", "{version}")
            assert (path in documented) == (form.adapter == name)
            answer = client.post(form.path, json=form.body)
            if form.adapter == name:
                assert answer.status_code == 200
            else:
                assert_off(form, answer)


def test_the_openapi_document_knows_the_errors_of_each_form(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, error in [(SENTA, "SentaError"), ("/predict", "TeiError"), (INFER, "InferError")]:
        path = path.replace("custom", "{name}")
        responses = document["paths"][path]["post"]["responses"]
        assert {"400", "401", "408", "413", "415", "422", "429", "503"} <= set(responses)
        for status, response in responses.items():
            schema = response["content"]["application/json"]["schema"]
            assert (schema == {"$ref": f"#/components/schemas/{error}"}) == (status != "200")
    assert document["paths"][BAIDU]["post"]["parameters"][0]["name"] == "charset"


@pytest.mark.parametrize("names", ["tei,tgi", "TEI", "tei oip"])
def test_an_unknown_adapter_refuses_to_start(names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_COMPAT", names)
    with pytest.raises(ConfigError, match=r"^SENTIMENT_COMPAT is .*'tei' or 'oip'"):
        load_settings()


@pytest.mark.parametrize(
    ("names", "read"), [("", ()), ("tei", ("tei",)), (" oip , tei,", ("oip", "tei"))]
)
def test_the_setting_is_comma_separated(
    names: str, read: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIMENT_COMPAT", names)
    assert load_settings().compat == read


# PaddleHub.


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


# Baidu.


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
        ("", b'{"txt": "a"}', 282004, "text: Field required"),
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


# text-embeddings-inference.


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
            "texts.0: An inner list must hold exactly one text",
        ),
        ({"inputs": [TEXT, 1]}, 422, "inputs.texts.1: Input should be a valid string"),
        ({"inputs": None}, 422, "inputs.text: Input should be a valid string"),
        ({}, 422, "inputs: Field required"),
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


# Open Inference Protocol.


@pytest.mark.parametrize("path", [INFER, INFER.replace("custom", "custom/versions/0.1.0")])
def test_oip_gives_labels_and_probabilities(client: TestClient, path: str) -> None:
    answer = client.post(path, json={"id": "42", **tensor(TEXT, BAD)})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["model_name"], body["model_version"]) == ("42", "custom", "0.1.0")
    label, probs = body["outputs"]
    assert label == {
        "name": "label",
        "shape": [2],
        "datatype": "BYTES",
        "data": ["positive", "negative"],
    }
    assert (probs["name"], probs["shape"], probs["datatype"]) == ("probabilities", [2, 3], "FP32")
    expected = probabilities(client, TEXT) + probabilities(client, BAD)
    assert probs["data"] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("members", [{"shape": [2, 1]}, {"shape": [2, 1], "data": [[TEXT], [BAD]]}])
def test_oip_reads_a_column_of_texts(client: TestClient, members: dict[str, Any]) -> None:
    body = client.post(INFER, json=tensor(TEXT, BAD, **members)).json()
    assert body["outputs"][0]["data"] == ["positive", "negative"]


def test_oip_gives_the_outputs_that_are_named_alone(client: TestClient) -> None:
    for name in ("label", "probabilities"):
        body = {**tensor(TEXT), "outputs": [{"name": name}]}
        outputs = client.post(INFER, json=body).json()["outputs"]
        assert [output["name"] for output in outputs] == [name]


def packed(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def binary(client: TestClient, behind: bytes, length: str | None = None, **members: Any) -> Any:
    """Sends texts behind the JSON."""
    given = {"name": "text", "shape": [2], "datatype": "BYTES"}
    size = {"parameters": {"binary_data_size": len(behind)}}
    head = json.dumps({"inputs": [given | size | members]}).encode()
    headers = {"inference-header-content-length": length or str(len(head))}
    return client.post(INFER, content=head + behind, headers=headers)


def test_oip_reads_and_writes_binary_tensors(client: TestClient) -> None:
    assert binary(client, packed(TEXT.encode(), BAD.encode())).json()["outputs"][0]["data"] == [
        "positive",
        "negative",
    ]
    wanted = {"outputs": [{"name": "label"}, {"name": "probabilities"}]}
    wanted["outputs"][0]["parameters"] = {"binary_data": False}  # type: ignore[assignment]
    body = {**tensor(TEXT, BAD), **wanted, "parameters": {"binary_data_output": True}}
    answer = client.post(INFER, json=body)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    label, probs = json.loads(answer.content[:length])["outputs"]
    assert label["data"] == ["positive", "negative"]
    assert "data" not in probs
    assert probs["parameters"]["binary_data_size"] == len(answer.content) - length == 24
    values = struct.unpack("<6f", answer.content[length:])
    expected = probabilities(client, TEXT) + probabilities(client, BAD)
    assert values == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("behind", "length", "members", "sentence"),
    [
        (packed(b"a", b"b")[:-1], None, {}, "ends within a text"),
        (packed(b"a") + b"\x01", None, {}, "ends within a text"),
        (packed(b"a", b"\xff"), None, {}, "text 1 is not UTF-8"),
        (packed(b"a"), None, {}, "shape"),
        (b"", None, {"shape": [0]}, "no text"),
        (packed(b"a", b"b"), None, {"shape": [1, 2]}, "shape"),
        (packed(b"a", b"b"), None, {"parameters": {"binary_data_size": 3}}, "binary_data_size"),
        (packed(b"a", b"b"), None, {"data": ["a", "b"]}, "binary_data_size"),
        (b"", None, {"parameters": {}}, "binary_data_size"),
        (packed(b"a", b"b"), "0", {}, "not JSON"),
        (packed(b"a", b"b"), "9999", {}, "length"),
        (packed(b"a", b"b"), "-1", {}, "length"),
        (packed(b"a", b"b"), "9" * 5000, {}, "length"),
    ],
)
def test_a_binary_tensor_that_is_none_is_a_400(
    client: TestClient, behind: bytes, length: str | None, members: dict[str, Any], sentence: str
) -> None:
    answer = binary(client, behind, length, **members)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (tensor(TEXT, name="texts"), "inputs.0.name"),
        (tensor(TEXT, datatype="FP32"), "inputs.0.datatype"),
        (tensor(TEXT, data=[1]), "inputs.0.data.0"),
        (tensor(TEXT, data=[]), "inputs.0.data"),
        ({"inputs": []}, "inputs"),
        ({"inputs": tensor(TEXT)["inputs"] * 2}, "inputs"),
        ({**tensor(TEXT), "outputs": [{"name": "logits"}]}, "outputs.0.name"),
        (
            {
                **tensor(TEXT),
                "outputs": [{"name": "label", "parameters": {"classification": 2}}],
            },
            "outputs.0.parameters.classification",
        ),
        (tensor(TEXT, " "), "text.1: the text is empty or blank"),
        (tensor(*[TEXT] * 257), "257 texts were sent; the limit is 256"),
    ],
)
def test_what_oip_cannot_answer_is_a_422(
    client: TestClient, body: dict[str, Any], sentence: str
) -> None:
    answer = client.post(INFER, json=body)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_oip_describes_what_serves(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/custom", "/v2/models/custom/versions/0.1.0"):
        body = client.get(path).json()
        assert (body["name"], body["versions"]) == ("custom", ["0.1.0"])
        assert body["platform"] == "zh-sentiment_onnx"
        assert body["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert [output["shape"] for output in body["outputs"]] == [[-1], [-1, 3]]
        assert client.get(f"{path}/ready").json() == {"name": "custom", "ready": True}


@pytest.mark.parametrize(
    "name", ["other", "custom/versions/1", "秘密", "custom/versions/%E7%A7%98"]
)
def test_an_unknown_model_is_a_404(client: TestClient, name: str) -> None:
    answers = [
        client.get(f"/v2/models/{name}"),
        client.get(f"/v2/models/{name}/ready"),
        client.post(f"/v2/models/{name}/infer", json=tensor(TEXT)),
    ]
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json() == {"error": "no such model is served; GET /v1/model lists them"}


def test_a_path_with_a_name_is_counted_under_one_label(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("secret-one", "secret-two"):
        client.post(f"/v2/models/{name}/infer", json=tensor(TEXT))
        client.get(f"/v2/models/{name}")
    exposed = client.get("/metrics").text
    assert 'route="/v2/models/{name}/infer",status="404"' in exposed
    assert 'route="/v2/models/{name}",status="404"' in exposed
    lines = [r.__dict__["fields"] for r in caplog.records if r.name == "service.access"]
    assert "secret" not in exposed + json.dumps(lines)


def test_a_path_to_the_model_is_found_by_its_template() -> None:
    paths = Paths(["/v1/predict", "/v2/models/{name}/infer"])
    assert paths.model_route("/v1/predict") == "/v1/predict"
    assert paths.model_route("/v2/models/a/infer") == "/v2/models/{name}/infer"
    assert paths.model_route("/v2/models/秘密/infer") == "/v2/models/{name}/infer"
    assert paths.model_route("/v2/models/a/b/infer") is None
    assert paths.model_route("/v1/predict/") is None
    assert paths.is_traced("/v2/models/zh-general/infer")
    assert not paths.is_traced("/v2/models/秘密/infer")
    assert not paths.is_traced("/v2/models/a secret/infer")
    assert not paths.is_traced("/livez")


# What befalls any request, in each form.


@each_form
def test_a_bad_text_a_large_one_and_a_bad_body(client: TestClient, form: Form) -> None:
    answer = client.post(form.path, json=form.with_text("好" * 10_001))
    assert_said(form, answer, 413, "the text has 10001 characters; the limit is 10000")
    headers = {"content-type": "application/json"}
    assert_said(form, client.post(form.path, content=b"{", headers=headers), 400, "not JSON")
    announced = {**headers, "content-length": "99999999"}
    answer = client.post(form.path, content=b"{}", headers=announced)
    assert_said(form, answer, 413, "2097152")
    chunks = iter([b" " * 1_500_000] * 2)
    assert_said(form, client.post(form.path, content=chunks, headers=headers), 413, "the limit")
    zipped = {**headers, "content-encoding": "gzip"}
    assert_said(form, client.post(form.path, content=b"{}", headers=zipped), 415, "encoding")
    blank = client.post(form.path, json=form.with_text(" "))
    assert_said(form, blank, 413 if form.adapter == "tei" else 422, "the text is empty or blank")


@each_form
def test_a_method_that_a_path_does_not_take(client: TestClient, form: Form) -> None:
    assert_said(form, client.put(form.path), 405, "does not take that method")


@pytest.mark.parametrize(
    "form",
    [
        Form("paddlehub", "/predict/lac", {}),
        Form("baidu", "/rpc/2.0/nlp/v1/lexer", {}),
        Form("oip", "/v2/models/custom/config", {}),
        Form("oip", "/v2/nothing", {}),
    ],
    ids=lambda form: form.path,
)
def test_a_path_that_is_not_there(client: TestClient, form: Form) -> None:
    assert_said(form, client.post(form.path, json={}), 404, "nothing at this path")


def test_problems_elsewhere_keep_their_one_body(client: TestClient) -> None:
    assert_problem(client.post("/v1/predict", json={"text": ""}), 422)
    assert_problem(client.get("/v3"), 404)
    assert_problem(client.post("/predictions", json={}), 404)


def test_the_page_is_where_the_hubs_client_posts(client: TestClient) -> None:
    assert client.get("/").headers["content-type"].startswith("text/html")


def test_a_failure_leaks_nothing_in_any_form(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(load_settings(model=tiny_artifact, compat=ALL))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)

        def fail(*_: object) -> None:
            raise RuntimeError("a secret text")

        monkeypatch.setattr("model.classifier.Classifier.probabilities", fail)
        for form in FORMS:
            assert_said(form, client.post(form.path, json=form.body), 500, "the service failed")


def test_without_a_model_each_form_says_so(tmp_path: Path) -> None:
    app = create_app(load_settings(model=tmp_path, compat=ALL))
    with TestClient(app) as client:
        for form in FORMS:
            answer = client.post(form.path, json=form.body)
            assert_said(form, answer, 503, "the model")
            assert answer.headers["retry-after"] == "1"
        assert client.get("/v2/health/live").status_code == 200
        for path in ("/v2/health/ready", "/v2/models/custom", "/v2/models/custom/ready"):
            assert client.get(path).status_code == 503
        assert client.get("/info").json()["error_type"] == "Unhealthy"


def test_a_full_queue_in_each_form(tiny_artifact: Path) -> None:
    with held_client(tiny_artifact, compat=ALL, deadline_seconds=60) as (client, engine):
        sends = threading.Thread(target=client.post, args=(SENTA,), kwargs={"json": FORMS[0].body})
        sends.start()
        assert engine.entered.wait(60)
        for form in FORMS:
            refused = client.post(form.path, json=form.body)
            assert_said(form, refused, 429, "try again")
            assert refused.headers["retry-after"] == "1"
        assert client.get("/v2/health/ready").status_code == 200
        engine.released.set()
        sends.join()
        refusals = f'sentiment_refusals_total{{reason="queue_full"}} {len(FORMS)}.0'
        assert refusals in client.get("/metrics").text


def test_a_deadline_in_each_form(tiny_artifact: Path) -> None:
    with held_client(tiny_artifact, compat=ALL, deadline_seconds=0.1) as (client, _):
        for form in FORMS:
            assert_said(form, client.post(form.path, json=form.body), 504, "no answer within 0.1 s")
        refusals = f'sentiment_refusals_total{{reason="deadline"}} {len(FORMS)}.0'
        assert refusals in client.get("/metrics").text


@pytest.mark.parametrize(
    ("adapter", "path"),
    [
        ("paddlehub", "/predict/%0a"),
        ("baidu", "/rpc/2.0/%0A"),
        ("oip", "/v2/models/a%0Ab/infer"),
    ],
)
def test_a_path_with_a_line_feed_is_still_its_adapters(
    client: TestClient, adapter: str, path: str
) -> None:
    form = next(form for form in FORMS if form.adapter == adapter)
    assert_said(form, client.post(path, json=form.body), 404)
