"""By which names the service is asked, and which pages may ask without having asked first."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from starlette.types import Scope

from model.errors import ConfigError
from service.app import create_app
from service.edge.hosts import Hosts
from service.errors import MisdirectedRequestError
from service.process.server import build_server
from service.settings import AdapterName, load_settings
from service.state import Service
from tests.support.adapters import FORMS, INFER, Form, assert_said, each_form
from tests.support.http import assert_problem, wait_ready
from tests.support.logs import access_lines
from tests.support.texts import TEXT

LOOPBACK = ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8000"]
ELSEWHERE = [
    *("shop.example", "localhost.shop.example", "127.0.0.1.shop.example", "localhostx", "a"),
    *("10.0.0.1", "0.0.0.0", "[::2]", "1270.0.1", ""),
]


def asked(host: str, address: str = "127.0.0.1", version: str = "1.1") -> Scope:
    return {
        "type": "http",
        "http_version": version,
        "server": (address, 8000),
        "headers": [(b"host", host.encode())],
    }


def is_answered(hosts: Hosts, scope: Scope) -> bool:
    try:
        hosts.check(scope)
    except MisdirectedRequestError:
        return False
    return True


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("patterns", [(), ("shop.example",), ("*",)])
def test_the_names_of_this_machine_are_always_its_own(host: str, patterns: tuple[str, ...]) -> None:
    assert is_answered(Hosts(patterns), asked(host))


@pytest.mark.parametrize("host", ELSEWHERE)
def test_any_other_name_is_no_name_of_a_service_for_this_machine(host: str) -> None:
    assert not is_answered(Hosts(()), asked(host))
    assert is_answered(Hosts(("*",)), asked(host))


def test_names_may_be_given_and_all_below_one() -> None:
    hosts = Hosts(("Shop.example", "*.desk.example"))
    for host in ("shop.example", "SHOP.example:443", "a.desk.example", "a.b.desk.example:8000"):
        assert is_answered(hosts, asked(host)), host
    for host in ("a.shop.example", "desk.example", "adesk.example", "shop.example.org"):
        assert not is_answered(hosts, asked(host)), host


@pytest.mark.parametrize(
    ("host", "address"), [("10.0.0.7:8000", "10.0.0.7"), ("[fd00::7]", "fd00::7")]
)
def test_the_address_that_is_asked_is_no_name_and_answers(host: str, address: str) -> None:
    """As probes of Kubernetes and scrapes of Prometheus have it."""
    assert is_answered(Hosts(("shop.example",)), asked(host, address))
    assert not is_answered(Hosts(("shop.example",)), asked(host, "10.0.0.8"))


@pytest.mark.parametrize(
    ("host", "allowed", "rebound"),
    [
        ("127.0.0.1", "", 421),
        ("::1", "", 421),
        ("localhost", "", 421),
        ("0.0.0.0", "", 200),
        ("0.0.0.0", "shop.example", 421),
        ("127.0.0.1", "*.example", 200),
        ("127.0.0.1", "*", 200),
    ],
)
def test_where_it_listens_decides_unless_the_setting_does(
    tmp_path: Path, host: str, allowed: str, rebound: int
) -> None:
    settings = load_settings(model=tmp_path, host=host, allowed_hosts=allowed)
    app: Any = build_server(settings, Service(settings)).config.app
    client = TestClient(app)
    for path in ("/livez", "/metrics", "/v1/model", "/"):
        status = client.get(path, headers={"host": "rebound.example"}).status_code
        assert (status == 421) == (rebound == 421), path
        assert client.get(path, headers={"host": "localhost"}).status_code != 421


def test_a_host_that_it_is_not_is_a_problem_that_is_logged(
    client: TestClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    there = TestClient(create_app(service.settings, service, Hosts(())))
    answer = there.post("/v1/predict", json={"text": TEXT}, headers={"host": "rebound.example"})
    assert_problem(answer, 421, "SENTIMENT_ALLOWED_HOSTS")
    assert "rebound" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert [line["status"] for line in access_lines(caplog)] == [421]


@pytest.mark.parametrize("value", ["a b", "http://a", "a:80", "*a.example", "a,*.*", "a/b", "*."])
def test_a_setting_that_is_no_name_refuses_to_start(value: str) -> None:
    with pytest.raises(ConfigError, match="SENTIMENT_ALLOWED_HOSTS"):
        load_settings(allowed_hosts=value)


# Pages of other origins

UNASKED = [
    *("text/plain", "Text/Plain;charset=UTF-8", "text/plain; application/json"),
    *("application/x-www-form-urlencoded", "multipart/form-data; boundary=a"),
]
FOREIGN = [
    *("https://evil.example", "null", "http://testserver.evil.example", "http://testserver:81"),
    *("http://xtestserver", "https://shop.example.org", "http://shop.example"),
]


@pytest.fixture(scope="module")
def everything(tiny_artifact: Path) -> Iterator[TestClient]:
    settings = load_settings(
        model=tiny_artifact,
        compat=",".join(get_args(AdapterName)),
        cors_origins="https://shop.example",
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


@pytest.mark.parametrize("media_type", [*UNASKED, None])
@each_form
def test_no_path_takes_what_a_page_of_another_origin_sends_unasked(
    everything: TestClient, form: Form, media_type: str | None
) -> None:
    kind = {"content-type": media_type} if media_type else {}
    body = json.dumps(form.body).encode()
    for origin in FOREIGN:
        answer = everything.post(form.path, content=body, headers={**kind, "origin": origin})
        assert_said(form, answer, 403, "another origin")
    # Of the adapters some take such bodies, from whoever has no origin or may ask.
    taken = everything.post(form.path, content=body, headers=kind).status_code
    for origin in ("http://testserver", "http://testserver:80", "https://shop.example"):
        answer = everything.post(form.path, content=body, headers={**kind, "origin": origin})
        assert answer.status_code == taken


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/stream", "/livez", "/nothing"])
def test_the_services_own_paths_neither(everything: TestClient, path: str) -> None:
    headers = {"content-type": "text/plain", "origin": FOREIGN[0]}
    assert_problem(everything.post(path, content=b"{}", headers=headers), 403, "another origin")


def test_what_a_preflight_guards_and_what_only_reads_is_no_matter_of_the_origin(
    everything: TestClient,
) -> None:
    foreign = {"origin": FOREIGN[0]}
    answer = everything.post("/v1/predict", json={"text": TEXT}, headers=foreign)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    assert everything.get("/livez", headers=foreign).status_code == 200


def test_with_any_origin_allowed_all_pages_may_ask(tiny_artifact: Path) -> None:
    settings = load_settings(model=tiny_artifact, compat="oip", cors_origins="*")
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        (form,) = [form for form in FORMS if form.path == INFER]
        headers = {"content-type": "text/plain", "origin": FOREIGN[0]}
        answer = client.post(form.path, content=json.dumps(form.body), headers=headers)
        assert answer.status_code == 200
