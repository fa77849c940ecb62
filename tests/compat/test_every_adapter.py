"""What holds for every adapter: when it is on, and each problem in its own form."""

import threading
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient

from model.errors import ConfigError
from service.app import create_app
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
)
from tests.support.held import held_client
from tests.support.http import assert_problem, wait_ready


def assert_off(form: Form, response: Any) -> None:
    assert_problem(response, 405 if form.path == "/" else 404)  # the page is there


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
    assert_said(form, client.post(form.path, content=chunks, headers=headers), 413, "larger than")
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
