"""The Open Inference Protocol."""

import json
import logging
import struct
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.edge.paths import Paths
from tests.support.adapters import (
    BAD,
    INFER,
    probabilities,
    tensor,
)
from tests.support.texts import TEXT


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
        assert answer.json() == {"error": "no such model is served; GET /v1/models lists them"}


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
