"""The adapters' paths, bodies and error forms."""

import json
from typing import Any, NamedTuple, get_args

import pytest
from fastapi.testclient import TestClient

from service.app import ADAPTER_NAMES, create_api, load_adapter
from service.settings import AdapterName, load_settings
from service.state import Service
from tests.support.texts import TEXT

ALL = ",".join(get_args(AdapterName))


SENTA = "/predict/senta_lstm"


BAIDU = "/rpc/2.0/nlp/v1/sentiment_classify"


INFER = "/v2/models/custom/infer"


def tensor(*texts: str, **members: Any) -> dict[str, Any]:
    given = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return {"inputs": [given | members]}


class Form(NamedTuple):
    """An adapter, one of its paths, and a body for it that contains TEXT."""

    adapter: str
    path: str
    body: dict[str, Any]

    def with_text(self, text: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(
            json.dumps(self.body).replace(json.dumps(TEXT), json.dumps(text))
        )
        return body


FORMS = [
    Form("paddlehub", SENTA, {"texts": [TEXT]}),
    Form("paddlehub", "/predict/senta_bilstm", {"texts": [TEXT]}),
    Form("baidu", f"{BAIDU}?charset=UTF-8", {"text": TEXT}),
    Form("tei", "/predict", {"inputs": TEXT}),
    Form("tei", "/", {"inputs": TEXT, "parameters": {}}),
    Form("oip", INFER, tensor(TEXT)),
    Form("oip", "/v2/models/custom/versions/0.1.0/infer", tensor(TEXT)),
]


each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.path)


def said(form: Form, response: Any) -> tuple[int, Any, str]:
    """Return the status, the protocol's error code and the message, which is all an error holds."""
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    code: Any
    if form.adapter == "paddlehub":
        assert set(body) == {"status", "msg", "results"}
        assert body["results"] == ""
        code, sentence = body["status"], body["msg"]
    elif form.adapter == "baidu":
        assert set(body) == {"error_code", "error_msg"}
        code, sentence = body["error_code"], body["error_msg"]
    elif form.adapter == "tei":
        assert set(body) == {"error", "error_type"}
        code, sentence = body["error_type"], body["error"]
    else:
        assert set(body) == {"error"}
        code, sentence = None, body["error"]
    return response.status_code, code, sentence


# Each protocol's status and code, by the status of our problem; OIP keeps ours, without codes.
SAID: dict[int, dict[str, tuple[int, Any]]] = {
    400: {"paddlehub": (400, "101"), "baidu": (200, 282002), "tei": (400, "Validation")},
    401: {"paddlehub": (401, "101"), "baidu": (200, 110), "tei": (401, "Validation")},
    403: {"paddlehub": (403, "101"), "baidu": (200, 6), "tei": (403, "Validation")},
    404: {"paddlehub": (404, "111"), "baidu": (200, 3), "tei": (404, "Validation")},
    405: {"paddlehub": (405, "101"), "baidu": (200, 3), "tei": (405, "Validation")},
    408: {"paddlehub": (408, "101"), "baidu": (200, 282000), "tei": (408, "Validation")},
    413: {"paddlehub": (413, "101"), "baidu": (200, 282131), "tei": (413, "Validation")},
    415: {"paddlehub": (415, "112"), "baidu": (200, 282000), "tei": (415, "Validation")},
    421: {"paddlehub": (421, "101"), "baidu": (200, 6), "tei": (421, "Validation")},
    422: {"paddlehub": (422, "101"), "baidu": (200, 282004), "tei": (422, "Validation")},
    429: {"paddlehub": (429, "101"), "baidu": (200, 18), "tei": (429, "Overloaded")},
    500: {"paddlehub": (500, "101"), "baidu": (200, 282000), "tei": (424, "Backend")},
    503: {"paddlehub": (503, "101"), "baidu": (200, 2), "tei": (503, "Unhealthy")},
    504: {"paddlehub": (504, "101"), "baidu": (200, 2), "tei": (424, "Backend")},
}


def assert_said(form: Form, response: Any, status: int, sentence: str = "") -> None:
    expected = SAID[status].get(form.adapter, (status, None))
    *got, words = said(form, response)
    assert tuple(got) == expected, words
    assert sentence in words


def whole_document(**settings: Any) -> dict[str, Any]:
    """Return the OpenAPI document with every adapter."""
    service = Service(load_settings(**settings))
    return create_api(service, [load_adapter(name) for name in ADAPTER_NAMES]).openapi()


BAD, PLAIN = "早餐很差", "电影在三楼"


def probabilities(client: TestClient, text: str) -> list[float]:
    answer = client.post("/v1/predict", json={"text": text}).json()
    return list(answer["probabilities"].values())
