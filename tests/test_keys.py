"""Who may ask and how often, which pages may, and what every answer tells a browser."""

import hashlib
import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

import service.api_keys
from model.errors import ConfigError
from service.api_keys import ApiKey, ApiKeys, new_key, read_keys
from service.app import create_app
from service.commands import main
from service.errors import RateLimitError
from service.process.server import prepare_process
from service.rate_limit import RateLimit
from service.settings import AdapterName, load_settings
from service.state import Service
from tests.support.adapters import BAIDU, FORMS, Form, assert_said, each_form
from tests.support.artifacts import SHIPPED
from tests.support.asgi import post, unreadable
from tests.support.clock import wait_for
from tests.support.http import JSON, ask, assert_problem, wait_ready
from tests.support.logs import access_lines, log_lines
from tests.support.metrics import scrape
from tests.support.process import free_port, served
from tests.support.texts import TEXT

TODAY = datetime.now(UTC).date()
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)

SHOP, SHOP_LINE = new_key("shop", TOMORROW)
DESK, DESK_LINE = new_key("desk", None)
OLD, OLD_LINE = new_key("old", YESTERDAY)
FILE = f"# who may ask\n{SHOP_LINE}\n\n  {DESK_LINE}  # the front desk\n{OLD_LINE}\n"

OPEN_PATHS = [
    *["/livez", "/readyz", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"],
    *["/", "/docs", "/openapi.json", "/web/page/main.js"],
]
SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys.txt"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def client(tiny_artifact: Path, keys_file: Path) -> Iterator[TestClient]:
    settings = load_settings(
        model=tiny_artifact, api_keys_file=keys_file, compat=",".join(get_args(AdapterName))
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def predict(client: TestClient, **headers: str) -> Any:
    return client.post("/v1/predict", json={"text": TEXT}, headers=headers)


# The file


def test_a_key_is_long_known_by_its_hash_alone_and_each_time_another() -> None:
    key, line = new_key("shop", date(2027, 1, 31))
    name, digest, expires = line.split()
    assert (name, expires) == ("shop", "2027-01-31")
    assert digest == hashlib.sha256(key.encode()).hexdigest()
    assert re.fullmatch(r"zhs_[\w-]{43}", key)  # 32 random bytes
    assert key not in line
    assert new_key("shop", None)[0] != key


def test_the_command_shows_the_key_and_writes_its_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["key", "shop", "--expires", "2027-01-31"])
    assert result.exit_code == 0
    key = result.stderr.split()[-1]
    (tmp_path / "keys").write_text(result.stdout)
    (read,) = read_keys(tmp_path / "keys").values()
    assert (read.name, read.digest) == ("shop", hashlib.sha256(key.encode()).digest())
    assert datetime.fromtimestamp(read.expires_at, UTC) == datetime(2027, 2, 1, tzinfo=UTC)
    assert key not in result.stdout
    for bad in (["a b"], ["a", "--expires", "31.1.2027"]):
        assert CliRunner().invoke(main, ["key", *bad]).exit_code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no key"),
        (b"# nobody\n", "holds no key"),
        (b"\n\nshop zhs_secret\n", "line 3 of SENTIMENT_API_KEYS_FILE"),
        (b"zhs_secret\n", "line 1"),
        (f"{SHOP_LINE}\n{SHOP_LINE} secret".encode(), "line 2"),
        (SHOP_LINE.replace(str(TOMORROW), "2027-02-30").encode(), "line 1"),
        (f"{SHOP_LINE}\n{SHOP_LINE}".encode(), "the name or the key of another"),
        (f"{SHOP_LINE}\n{SHOP_LINE.replace('shop', 'b')}".encode(), "the name or the key of"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a " * 2_000_000, "line 1"),
        (b"#" * 2**24 + b"\n" + SHOP_LINE.encode(), "at most 16777216 are read"),
        (None, "No such file"),
    ],
    ids=itertools.count(),
)
def test_a_bad_file_refuses_to_start_in_one_sentence_that_repeats_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    path = tmp_path / "keys.txt"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SENTIMENT_API_KEYS_FILE", str(path))
    result = CliRunner().invoke(main, ["serve"])
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"RATE_LIMIT": "600/minute"}, "SENTIMENT_RATE_LIMIT is per key"),
        ({"RATE_LIMIT": "fast"}, "SENTIMENT_RATE_LIMIT is 'fast'"),
        ({"CORS_ORIGINS": "https://a.example/"}, "SENTIMENT_CORS_ORIGINS"),
        ({"PUBLIC_METRICS": "false"}, "SENTIMENT_PROBE_PORT names no other"),
    ],
)
def test_a_setting_that_does_not_fit_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"SENTIMENT_{name}", value)
    with pytest.raises(ConfigError, match=message):
        load_settings()


def test_a_key_is_for_its_last_day_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, line = new_key("shop", date(2027, 1, 31))
    (tmp_path / "keys").write_text(line)
    found = ApiKeys(tmp_path / "keys").find(key.encode())
    assert found
    for now, expired in [("2027-01-31T23:59:59", False), ("2027-02-01T00:00:00", True)]:
        moment = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        assert found.expired == expired


def many_keys(path: Path, count: int) -> Path:
    lines = (f"key-{n} {hashlib.sha256(b'%d' % n).hexdigest()}\n" for n in range(count))
    path.write_text("".join(lines))
    return path


def test_reading_and_finding_take_no_longer_for_each_key_where_there_are_many(
    tmp_path: Path,
) -> None:
    started = time.process_time()
    keys = ApiKeys(many_keys(tmp_path / "keys.txt", 20_000))
    for number in range(20_000):
        found = keys.find(b"%d" % number)
        assert found
        assert found.name == f"key-{number}"
        assert keys.find(b"-%d" % number) is None
    # Comparing each with each would take half a minute.
    assert time.process_time() - started < 3


# Asking


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
            assert operation.get("security") == (None if is_open else [{"key": []}, {}]), path
            if not is_open and not path.startswith(("/rpc", "/oauth")):  # whose errors are a 200
                responses = operation["responses"].keys()
                assert {"401", "429"} <= responses or "4XX" in responses, path


# A file that changes


def wait_until_read() -> None:
    for thread in threading.enumerate():
        if thread.name == "keys":
            thread.join(20)


def test_a_file_that_changes_is_read_again_and_a_broken_one_is_not(
    tiny_artifact: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "keys.txt"
    path.write_text(SHOP_LINE)
    service = Service(load_settings(model=tiny_artifact, api_keys_file=path))
    client = TestClient(create_app(service.settings, service))

    def opens(key: str) -> bool:
        service.tick()  # as every second
        wait_until_read()
        status = client.get("/v1/model", headers=bearer(key)).status_code
        assert status in (401, 503)  # no model is loaded here
        return status == 503

    assert (opens(SHOP), opens(DESK)) == (True, False)
    path.write_text(f"{SHOP_LINE}\n{DESK_LINE}")
    assert (opens(SHOP), opens(DESK)) == (True, True)
    assert "shop, desk" in caplog.text
    for broken in ("", f"{DESK_LINE}\nzhs_secret"):
        path.write_text(broken)
        caplog.clear()
        assert (opens(SHOP), opens(DESK)) == (True, True)
        (line,) = [record for record in caplog.records if record.name == "service.api_keys"]
        assert line.getMessage().startswith("keeping the previous API keys: ")
        assert "zhs_secret" not in caplog.text
    path.unlink()
    assert (opens(SHOP), opens(DESK)) == (True, True)
    # As Kubernetes changes a Secret: by a link that turns.
    (tmp_path / "new").write_text(DESK_LINE)
    (tmp_path / "link").symlink_to("new")
    (tmp_path / "link").rename(path)
    assert (opens(SHOP), opens(DESK)) == (False, True)
    for odd in (os.mkfifo, Path.mkdir):
        path.unlink()
        odd(path)
        caplog.clear()
        assert (opens(SHOP), opens(DESK)) == (False, True)
        assert "keeping the previous API keys" in caplog.text


def test_nobody_waits_while_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(SHOP_LINE)
    keys = ApiKeys(path)
    may_read = threading.Event()
    readers = []

    def slow(path: Path) -> Mapping[bytes, ApiKey]:
        readers.append(threading.current_thread())
        assert may_read.wait(20)
        return read_keys(path)

    monkeypatch.setattr(service.api_keys, "read_keys", slow)
    path.write_text(f"{SHOP_LINE}\n{DESK_LINE}")
    keys.refresh()
    path.write_text(f"{DESK_LINE}\n")
    keys.refresh()
    assert keys.find(SHOP.encode())
    assert keys.find(DESK.encode()) is None
    may_read.set()
    wait_until_read()
    keys.refresh()  # or what changed during the reading would be missed
    wait_until_read()
    assert len(readers) == 2
    assert threading.main_thread() not in readers
    assert keys.find(DESK.encode())
    assert keys.find(SHOP.encode()) is None


@pytest.mark.process
def test_a_running_service_takes_a_new_key_and_drops_an_old_one(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(SHOP_LINE)
    settings = {"SENTIMENT_API_KEYS_FILE": str(path), "SENTIMENT_HOST": "0.0.0.0"}
    with served(tiny_artifact, tmp_path / "log", **settings) as (_, address):
        address = address.replace("0.0.0.0", "127.0.0.1")
        wait_ready(address)
        model = f"{address}/v1/model"
        assert httpx2.get(model, headers=bearer(SHOP)).status_code == 200
        path.write_text(DESK_LINE)
        wait_for(lambda: httpx2.get(model, headers=bearer(DESK)).status_code == 200)
        assert httpx2.get(model, headers=bearer(SHOP)).status_code == 401
        answer = httpx2.get(model)
        assert answer.status_code == 401
        assert "server" not in answer.headers
    lines = log_lines(tmp_path / "log")
    assert not [line for line in lines if line["level"] == "warning"]  # it asks for keys
    assert SHOP not in str(lines)


# How often


@pytest.fixture
def limited(tiny_artifact: Path, keys_file: Path) -> Iterator[TestClient]:
    settings = load_settings(model=tiny_artifact, api_keys_file=keys_file, rate_limit="3/day")
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        yield client


def test_a_key_that_asks_too_often_is_a_429_and_every_answer_tells_what_is_left(
    limited: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers = [predict(limited, **bearer(SHOP)) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    for answer, left in zip(answers, [2, 1, 0, 0, 0], strict=True):
        assert answer.headers["ratelimit-policy"] == '"key";q=3;w=86400'
        found = re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
        assert found
        assert int(found[1]) == left
        assert 86_000 < int(found[2]) <= 86_400
    refused = answers[-1]
    assert_problem(refused, 429, "this key has made 3/day requests")
    assert refused.headers["ratelimit"].endswith(f"t={refused.headers['retry-after']}")
    assert "retry-after" not in answers[0].headers
    # Another has its own; who has none counts for nobody; what is open is not counted.
    assert predict(limited, **bearer(DESK)).headers["ratelimit"].startswith('"key";r=2;')
    assert "ratelimit" not in predict(limited).headers
    assert "ratelimit" not in limited.get("/livez", headers=bearer(SHOP)).headers
    assert limited.get("/v1/model", headers=bearer(DESK)).json()["limits"]["rate_limit"] == "3/day"
    found_metrics = scrape(limited)
    assert found_metrics["sentiment_refusals_total,reason=rate_limited"] == 2
    assert found_metrics["sentiment_refusals_total,reason=queue_full"] == 0
    assert [line["key"] for line in access_lines(caplog) if line["status"] == 429] == ["shop"] * 2


def test_a_new_window_begins_with_nothing_counted(
    limited: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = [predict(limited, **bearer(DESK)).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 86_401)
    assert predict(limited, **bearer(DESK)).status_code == 200


def test_a_clock_that_is_set_back_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    day, now = [time.time()], [1000.0]
    monkeypatch.setattr(time, "time", lambda: day[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limit = RateLimit("3/minute")
    for _ in range(3):
        limit.count_request("shop")
    day[0] -= 3600
    with pytest.raises(RateLimitError, match="3/minute") as refused:
        limit.count_request("shop")
    assert refused.value.headers["retry-after"] == "60"
    now[0] += 60
    assert limit.count_request("shop")["ratelimit"] == '"key";r=2;t=60'


def test_a_limit_is_refused_in_the_form_of_an_adapter(tiny_artifact: Path, keys_file: Path) -> None:
    settings = load_settings(
        model=tiny_artifact, api_keys_file=keys_file, rate_limit="1/day", compat="baidu,tei"
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        for form, key in zip(FORMS[2:4], (SHOP, DESK), strict=True):
            headers = bearer(key)
            assert client.post(form.path, json=form.body, headers=headers).status_code == 200
            assert_said(form, client.post(form.path, json=form.body, headers=headers), 429)


# Pages of other origins


def preflight(client: TestClient, origin: str) -> Any:
    return client.options(
        "/v1/predict",
        headers={
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
        },
    )


def test_no_page_of_another_origin_may_ask_unless_it_is_named(client: TestClient) -> None:
    answer = predict(client, origin="https://a.example", **bearer(SHOP))
    assert not [name for name in answer.headers if name.startswith("access-control")]
    # Which methods there are it may know; without such headers a browser goes no further.
    refused = preflight(client, "https://a.example")
    assert refused.status_code == 204
    assert not [name for name in refused.headers if name.startswith("access-control")]


def test_a_page_that_is_named_may_ask_and_its_preflight_needs_no_key(
    tiny_artifact: Path, keys_file: Path
) -> None:
    settings = load_settings(
        model=tiny_artifact,
        api_keys_file=keys_file,
        cors_origins="https://a.example, https://b.example",
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        for origin in ("https://a.example", "https://b.example"):
            before = preflight(client, origin)
            assert before.status_code == 200
            assert before.headers["access-control-allow-origin"] == origin
            assert "authorization" in before.headers["access-control-allow-headers"].lower()
            assert before.headers["x-request-id"]
            for headers, status in [(bearer(SHOP), 200), ({}, 401)]:
                answer = predict(client, origin=origin, **headers)
                assert answer.status_code == status
                # Or the page could not read why it was refused.
                assert answer.headers["access-control-allow-origin"] == origin
                assert "RateLimit" in answer.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in answer.headers
        other = preflight(client, "https://c.example")
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
        answer = predict(client, origin="https://c.example", **bearer(SHOP))
        assert "access-control-allow-origin" not in answer.headers


def test_any_page_may_ask_where_the_setting_says_so(tiny_artifact: Path) -> None:
    with TestClient(create_app(load_settings(model=tiny_artifact, cors_origins="*"))) as client:
        wait_ready(client)
        answer = predict(client, origin="https://a.example")
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


# What every answer tells a browser


def assert_secure(answer: Any, cache: str = "no-store") -> None:
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert answer.headers["cache-control"] == cache
    for name in (*SECURITY, "cache-control", "x-request-id"):
        assert len(answer.headers.get_list(name)) == 1


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status"),
    [
        ("POST", "/v1/predict", {}, '{"text": "好"}', 200),
        ("POST", "/v1/predict/batch", {}, '{"items": [{"text": "好"}]}', 200),
        ("POST", "/v1/predict/stream", {"content-type": "application/x-ndjson"}, "", 200),
        ("GET", "/v1/model", {}, "", 200),
        ("GET", "/livez", {}, "", 200),
        ("GET", "/metrics", {}, "", 200),
        ("GET", "/openapi.json", {}, "", 200),
        ("HEAD", "/health", {}, "", 200),
        ("POST", "/v1/predict", {}, "{", 400),
        ("POST", "/v1/predict", {"authorization": "Bearer x"}, "{}", 401),
        ("GET", "/nothing", {}, "", 404),
        ("GET", "/web/nothing.js", {}, "", 404),
        ("GET", "/v1/predict", {}, "", 405),
        ("POST", "/v1/predict", {}, "[" * 200, 413),
        ("POST", "/v1/predict", {"content-type": "text/plain"}, "a", 415),
        ("POST", "/v1/predict", {}, '{"text": " "}', 422),
        ("POST", f"{BAIDU}?charset=UTF-8", {}, '{"text": " "}', 200),
    ],
)
def test_every_answer_has_the_headers_of_security(
    small_client: TestClient,
    method: str,
    path: str,
    headers: dict[str, str],
    content: str,
    status: int,
) -> None:
    given = {**JSON, **bearer(SHOP), **headers}
    answer = small_client.request(method, path, content=content.encode(), headers=given)
    assert answer.status_code == status
    assert_secure(answer)


@pytest.fixture(scope="module")
def small_client(tiny_artifact: Path, keys_file: Path) -> Iterator[TestClient]:
    settings = load_settings(
        model=tiny_artifact, api_keys_file=keys_file, max_body_bytes=100, compat="baidu"
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        yield client


@pytest.mark.parametrize("path", ["/", "/docs", "/web/page/main.js"])
def test_files_have_them_too_and_are_kept(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert_secure(answer, "no-cache")
    again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert_secure(again, "no-cache")


def test_failures_have_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(load_settings(model=tmp_path))
    client = TestClient(create_app(service.settings, service), raise_server_exceptions=False)
    answer = predict(client)
    assert answer.status_code == 503
    assert_secure(answer)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Service, "health", fail)
    answer = client.get("/health")
    assert answer.status_code == 500
    assert_secure(answer)


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
    monkeypatch.setattr("service.process.server.configure_logging", lambda level: None)
    prepare_process(load_settings(host=host))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == warnings
    assert all(host in line and "SENTIMENT_API_KEYS_FILE" in line for line in told)
