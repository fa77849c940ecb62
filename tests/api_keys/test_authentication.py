"""Who is answered: with a key, without one, and on which paths and ports."""

import itertools
import logging
import time
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from service.api_keys import ApiKeys
from service.app import create_app
from service.process.server import prepare_process
from service.settings import load_settings
from service.state import Service
from tests.support.adapters import BAIDU, FORMS, Form, assert_said, each_form
from tests.support.api_keys import DESK, OLD, OLD_LINE, SHOP, SHOP_LINE, bearer, predict
from tests.support.artifacts import SHIPPED
from tests.support.asgi import post, unreadable
from tests.support.clock import wait_for
from tests.support.http import SECURITY, ask, assert_problem, assert_secure, wait_ready
from tests.support.logs import access_lines
from tests.support.metrics import scrape
from tests.support.process import free_port, served
from tests.support.texts import TEXT

OPEN_PATHS = [
    *["/livez", "/readyz", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"],
    *["/", "/docs", "/openapi.json", "/web/page/main.js"],
]


@pytest.mark.parametrize(("key", "name"), [(SHOP, "shop"), (DESK, "desk")], ids=["shop", "desk"])
def test_each_key_opens_the_service_and_is_logged_by_its_name(
    client: TestClient, caplog: pytest.LogCaptureFixture, key: str, name: str
) -> None:
    caplog.set_level(logging.INFO)
    before = scrape(client).get(f"sentiment_key_requests_total,key={name}", 0)
    for scheme in ("Bearer", "bearer", "BEARER "):
        assert predict(client, authorization=f"{scheme} {key}").status_code == 200
    assert client.get("/v1/model", headers=bearer(key)).status_code == 200
    assert [line["key"] for line in access_lines(caplog)] == [name] * 4
    assert scrape(client)[f"sentiment_key_requests_total,key={name}"] == before + 4


@pytest.mark.parametrize(
    ("authorization", "detail", "challenge"),
    [
        (None, "send an API key", "Bearer"),
        ("", "send an API key", "Bearer"),
        ("Basic c2hvcDpzaG9w", "send an API key", "Bearer"),
        (SHOP, "send an API key", "Bearer"),
        (f"Bearer{SHOP}", "send an API key", "Bearer"),
        ("Bearer", "unknown", 'Bearer error="invalid_token"'),
        ("Bearer nobody", "unknown", 'Bearer error="invalid_token"'),
        (f"Bearer {SHOP}x", "unknown", 'Bearer error="invalid_token"'),
        (f"Bearer {SHOP} {SHOP}", "unknown", 'Bearer error="invalid_token"'),
        (f"Bearer {SHOP_LINE.split()[1]}", "unknown", 'Bearer error="invalid_token"'),
        ("Bearer \xe9", "unknown", 'Bearer error="invalid_token"'),
        (f"Bearer {OLD}", "has expired", 'Bearer error="invalid_token"'),
    ],
    ids=itertools.count(),  # a key is another each time
)
def test_without_a_good_key_there_is_no_answer(
    client: TestClient, authorization: str | None, detail: str, challenge: str
) -> None:
    headers: dict[bytes, bytes] = {}
    if authorization is not None:
        headers[b"authorization"] = authorization.encode("latin-1")
    for method, path in [("POST", "/v1/predict"), ("POST", "/v1/predict/stream")]:
        answer = client.request(method, path, json={"text": TEXT}, headers=headers)
        assert_problem(answer, 401, detail)
        assert answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", path) for path in ("/v1/model", "/v2", "/nothing", "/web", "/v2/models/custom")],
        *[("POST", path) for path in ("/livez", "/docs", "/web/page/main.js", "/v1/explain")],
        *[("HEAD", "/v1/model"), ("PUT", "/v1/predict"), ("DELETE", "/metrics")],
    ],
)
def test_what_is_not_open_needs_a_key(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 401
    assert client.request(method, path, headers=bearer(SHOP)).status_code not in (401, 500)


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_probes_metrics_and_the_services_own_files_need_none(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.head(path).status_code == 200
    assert client.get(path, headers=bearer("nobody's")).status_code == 200


async def test_no_body_is_read_and_nothing_is_told_to_whom_has_no_key(
    tiny_artifact: Path, keys_file: Path
) -> None:
    # Not even that there is no model yet, or that the body would be too large.
    service = Service(load_settings(model=tiny_artifact, api_keys_file=keys_file))
    app = create_app(service.settings, service)
    assert await post(app, unreadable) == 401
    assert await post(app, unreadable, content_length="99999999") == 401
    assert await post(app, unreadable, authorization=f"Bearer {SHOP}") == 503
    exposed = service.expose("")[0].decode()
    assert 'sentiment_refusals_total{reason="unauthorized"} 2.0' in exposed
    assert 'sentiment_request_duration_seconds_count{route="/v1/predict"}' not in exposed


def test_a_prefix_that_a_proxy_strips_opens_nothing(tiny_artifact: Path, keys_file: Path) -> None:
    settings = load_settings(model=tiny_artifact, api_keys_file=keys_file, root_path="/api")
    with TestClient(create_app(settings), root_path="/api") as client:
        wait_ready(client)
        assert client.get("/api/docs").status_code == 200
        assert client.get("/api/v1/model").status_code == 401
        assert client.get("/web/../v1/model").status_code == 401
        assert client.get("/api/v1/model", headers=bearer(SHOP)).status_code == 200


def test_no_key_is_ever_logged_shown_or_answered(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for key in (SHOP, OLD, "zhs_nobody"):
        for headers in (bearer(key), {"authorization": key}):
            told += [predict(client, **headers), client.get("/v1/model", headers=headers)]
        told.append(client.post(f"{BAIDU}?access_token={key}", json={"text": TEXT}))
    told += [client.get("/metrics"), client.get("/openapi.json")]
    seen = [f"{answer.text}{answer.headers}" for answer in told]
    ours = [r for r in caplog.records if r.name.startswith(("service", "fastapi", "uvicorn"))]
    assert len(ours) >= 10
    seen += [f"{record.getMessage()}{record.__dict__}" for record in ours]
    digests = [line.split()[1] for line in (SHOP_LINE, OLD_LINE)]
    for secret in (SHOP, OLD, "zhs_nobody", *digests):
        assert not [text for text in seen if secret in text]


@each_form
def test_the_paths_of_other_services_need_a_key_and_say_so_in_their_form(
    client: TestClient, form: Form
) -> None:
    answer = client.post(form.path, json=form.body)
    assert_said(form, answer, 401, "send an API key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert_said(form, client.post(form.path, json=form.body, headers=bearer(OLD)), 401, "expired")
    assert client.post(form.path, json=form.body, headers=bearer(SHOP)).status_code == 200


def test_baidus_clients_have_their_key_as_secret_and_as_token(client: TestClient) -> None:
    path = "/oauth/2.0/token?grant_type=client_credentials&client_id=any&client_secret="
    assert client.get(f"{path}{OLD}").json()["error_code"] == 110
    for method in ("GET", "POST"):
        token = client.request(method, f"{path}{SHOP}").json()["access_token"]
        answer = client.post(f"{BAIDU}?charset=UTF-8&access_token={token}", json={"text": TEXT})
        assert answer.json()["items"]
    # In nobody else's form: a query may be logged on its way.
    assert client.get(f"/v1/model?access_token={SHOP}").status_code == 401
    (tei,) = [form for form in FORMS if form.path == "/predict"]
    assert client.post(f"/predict?access_token={SHOP}", json=tei.body).status_code == 401


@pytest.mark.parametrize("note", ["%E4%BD%A0", "%ff", "你".encode().decode("latin-1")])
def test_a_query_may_hold_any_bytes(client: TestClient, note: str) -> None:
    query = f"charset=UTF-8&note={note}"
    answer = client.post(f"{BAIDU}?{query}&access_token={SHOP}", json={"text": TEXT})
    assert answer.json()["items"]
    assert client.post(f"{BAIDU}?{query}", json={"text": TEXT}).json()["error_code"] == 110


def test_an_error_of_the_layers_before_the_framework_is_a_problem_too(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: ApiKeys, given: bytes) -> None:
        raise RuntimeError("nobody foresaw it")

    monkeypatch.setattr(ApiKeys, "find", fail)
    answer = client.post("/v1/predict", json={"text": TEXT}, headers=bearer(SHOP))
    assert_problem(answer, 500)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "foresaw" not in answer.text


@pytest.mark.process
def test_baidu_aip_with_a_key(tmp_path: Path, keys_file: Path) -> None:
    aip = pytest.importorskip("aip")
    settings = {"SENTIMENT_API_KEYS_FILE": str(keys_file), "SENTIMENT_COMPAT": "baidu"}
    with served(SHIPPED, tmp_path / "log", **settings) as (_, address):
        wait_ready(address)
        client = aip.AipNlp("", "", SHOP)
        client._AipBase__accessTokenUrl = f"{address}/oauth/2.0/token"
        client._AipNlp__sentimentClassifyUrl = f"{address}{BAIDU}"
        assert client.sentimentClassify("很好吃")["items"][0]["sentiment"] == 2
        client.s.close()
    assert SHOP not in (tmp_path / "log").read_text()


def test_the_document_says_what_needs_a_key(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "key": {"type": "http", "scheme": "bearer"}
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            is_open = method == "get" and path in OPEN_PATHS
            assert operation.get("security") == (None if is_open else [{"key": []}]), path
            if not is_open and not path.startswith(("/rpc", "/oauth")):  # whose errors are a 200
                responses = operation["responses"].keys()
                assert {"401", "429"} <= responses or "4XX" in responses, path


# What other services were opened by: names and targets that a framework reads into a URL of its own


@pytest.mark.parametrize(
    "host", ["x/livez?", "localhost/livez?", "a@localhost", "localhost#", "\\\\x"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/model"), ("POST", "/v1/predict")])
def test_no_host_makes_a_path_an_open_one(
    client: TestClient, host: str, method: str, path: str
) -> None:
    answer = client.request(method, path, headers={"host": host})
    assert_problem(answer, 400, "Host")
    assert answer.json()["instance"] == path
    # And one that is valid needs its key all the same.
    assert_problem(client.request(method, path, headers={"host": "livez"}), 401)


@pytest.mark.parametrize("target", ["@livez", "@localhost/livez", "//livez", "/v1/model@/livez"])
async def test_no_target_is_an_open_path_but_one(
    tiny_artifact: Path, keys_file: Path, target: str
) -> None:
    app = create_app(load_settings(model=tiny_artifact, api_keys_file=keys_file))
    assert await post(app, unreadable, target) == 401


@pytest.mark.parametrize(
    "ranges",
    ["bytes=" + "0-," * 5000 + "0-", "bytes=" + "-," * 5000, "bytes=0-99999999999999999999", "x"],
)
def test_no_range_makes_a_file_cost_more(client: TestClient, ranges: str) -> None:
    whole = client.get("/web/page/main.js")
    began = time.process_time()
    answer = client.get("/web/page/main.js", headers={"range": ranges})
    assert time.process_time() - began < 0.5
    assert (answer.status_code, answer.content) == (200, whole.content)


def test_options_need_no_key_and_tell_methods_alone(client: TestClient) -> None:
    for path in ("/", "/livez", "/v1/predict", "/web/page/main.js"):
        answer = client.options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "OPTIONS" in answer.headers["allow"]
        assert_secure(answer)
    assert_problem(client.options("/nothing"), 404)


# Metrics on a port of their own, and a service that is open to everybody


@pytest.mark.process
@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_can_be_on_the_probe_port_alone(
    tiny_artifact: Path, tmp_path: Path, workers: str
) -> None:
    port = free_port()
    settings = {
        "SENTIMENT_PROBE_PORT": str(port),
        "SENTIMENT_PUBLIC_METRICS": "false",
        "SENTIMENT_WORKERS": workers,
        "TMPDIR": str(tmp_path),
    }
    with served(tiny_artifact, tmp_path / "log", **settings) as (_, address):
        wait_for(lambda: b"sentiment_ready " + workers.encode() in ask(port, "/metrics")[1])
        assert httpx2.get(f"{address}/metrics").status_code == 404
        assert httpx2.post(f"{address}/v1/predict", json={"text": TEXT}).status_code == 200
        counted = b'sentiment_requests_total{route="/v1/predict",status="200"} 1.0'
        assert counted in ask(port, "/metrics")[1]
        for path in ("/livez", "/metrics", "/nothing"):
            answer = httpx2.get(f"http://127.0.0.1:{port}{path}")
            assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY


@pytest.mark.parametrize(
    ("host", "warnings"), [("0.0.0.0", 1), ("::", 1), ("127.0.0.2", 0), ("localhost", 0)]
)
def test_a_service_that_is_open_to_everybody_says_so_once(
    host: str, warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.process.server.configure_logging", lambda *_: None)
    prepare_process(load_settings(host=host))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == warnings
    assert all(host in line and "SENTIMENT_API_KEYS_FILE" in line for line in told)
