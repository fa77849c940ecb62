"""What deploy/ gives Prometheus and Grafana: valid, and true of a running service."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.routing import APIRoute

from service.app import ADAPTER_NAMES, ROUTERS, load_adapter
from service.routes import stream
from service.routes.model_route import ModelRoute
from service.settings import load_settings
from service.state import Service
from tests.support.adapters import INFER, tensor
from tests.support.api_keys import FILE, SHOP, bearer
from tests.support.clock import wait_for
from tests.support.http import answers, wait_ready
from tests.support.process import free_port, served
from tests.support.repository import ROOT, read

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"


def rules() -> list[dict[str, Any]]:
    """The recording rules and the alerts."""
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def dashboard() -> dict[str, Any]:
    path = GRAFANA / "dashboards" / "sentiment.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def filled(expression: str) -> str:
    """An expression of the dashboard with its variables filled in: everything is chosen."""
    expression = expression.replace("$__rate_interval", "5m")
    for variable in ("namespace", "job", "instance"):
        expression = expression.replace(f'"${variable}"', '".*"')
    assert "$" not in expression
    return expression


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def shown() -> list[str]:
    """Every expression of the dashboard."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [annotation["expr"] for annotation in dashboard()["annotations"]["list"]]
    return [filled(expression) for expression in found]


def metric_names(expression: str) -> set[str]:
    unquoted = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\b(?:sentiment|process)_[a-z_]+|\bup\b", unquoted))


def promtool(*arguments: str) -> str:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool on this machine; Debian's package prometheus has it")
    result = subprocess.run(
        [tool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.process
def test_prometheus_accepts_the_configuration_and_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "config", "prometheus.yml")


@pytest.mark.process
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")
    tested = (PROMETHEUS / "alerts.test.yml").read_text(encoding="utf-8")
    for rule in alerts():
        assert f"alertname: {rule['alert']}\n        exp_alerts" in tested, rule["alert"]


def test_each_alert_has_its_page_in_the_runbook() -> None:
    headings = re.findall(
        r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    names = [rule["alert"] for rule in alerts()]
    assert [heading for heading in headings if heading.startswith("Sentiment")] == names
    (address,) = re.findall(r"^DOCS := (https://\S+)$", read("Makefile"), re.MULTILINE)
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        expected = f"{address}/operations.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == expected


@pytest.mark.process
def test_one_variable_sets_the_address_of_the_runbook(tmp_path: Path) -> None:
    copy = shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    for address in ("https://wiki.example.org/sentiment", "https://again.example.org"):
        command = ["make", "--silent", "runbooks", f"DOCS={address}", f"ALERTS={copy}"]
        subprocess.run(command, cwd=ROOT, check=True)
        links = re.findall(r"runbook_url: (.*)#", Path(copy).read_text(encoding="utf-8"))
        assert links == [f"{address}/operations.md"] * len(alerts())


def test_namespaces_and_jobs_are_never_added_up() -> None:
    for rule in rules():
        grouped = re.findall(r"\b(?:sum|count|group)\b( by \([^)]*\))?", rule["expr"])
        for labels in grouped:
            assert labels.startswith(" by (namespace, job"), rule["expr"]


def test_the_runbook_lists_every_metric() -> None:
    table = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`sentiment_[^|]*)", table, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"sentiment_\w+", cell)}
    exposed = Service(load_settings()).metrics.expose("")[0].decode()
    exist = set(re.findall(r"^# TYPE (sentiment_\w+)", exposed, re.MULTILINE))
    assert listed - exist == set()
    assert not exist - listed


def test_the_dashboard_reads_from_the_source_that_is_chosen() -> None:
    content = dashboard()
    source, *variables = content["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    text = (GRAFANA / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    (provisioned,) = yaml.safe_load(text)["datasources"]
    assert provisioned["type"] == source["query"]
    used = [panel["datasource"] for panel in panels()]
    used += [target["datasource"] for panel in panels() for target in panel["targets"]]
    used += [item["datasource"] for item in [*variables, *content["annotations"]["list"]]]
    assert {(item["type"], item["uid"]) for item in used} == {
        ("prometheus", f"${{{source['name']}}}")
    }


def test_every_panel_heeds_the_choice_of_namespace_job_and_instance() -> None:
    content = dashboard()
    names = [variable["name"] for variable in content["templating"]["list"]]
    assert names == ["datasource", "namespace", "job", "instance"]
    chosen = ", ".join(f'{name}=~"${name}"' for name in names[1:])
    expressions = [target["expr"] for panel in panels() for target in panel["targets"]]
    expressions += [annotation["expr"] for annotation in content["annotations"]["list"]]
    for expression in expressions:
        selectors = re.findall(r"\b(?:sentiment|process)_\w+(\{.*?\})?", expression)
        assert all(f"{chosen}}}" in selector for selector in selectors), expression


def test_figures_stand_on_top_and_every_panel_has_a_name_of_its_own() -> None:
    top = [panel for panel in panels() if panel["gridPos"]["y"] == 0]
    assert [panel["title"] for panel in top] == [
        "Instances ready",
        "Requests per second",
        "p99 of single texts",
        "Requests that failed",
        "Error budget left",
        "Model",
    ]
    assert {panel["type"] for panel in top} == {"stat"}
    assert [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"] == [
        "Traffic",
        "Errors",
        "Latency by endpoint",
        "Saturation",
        "Drift",
    ]
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(set(titles)) == len(titles)
    assert all(panel["description"] for panel in panels())


def routes() -> tuple[set[str], set[str]]:
    """The paths of every route, and of those that bring texts."""
    routers = [
        *ROUTERS,
        *(router for name in ADAPTER_NAMES for router in load_adapter(name).routers),
    ]
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    texts = {route.path for route in found if isinstance(route, ModelRoute)} | {stream.PATH}
    texts.remove("/")  # to metrics it is the page
    return {route.path for route in found}, texts


def test_rules_and_dashboard_count_every_route_that_brings_texts() -> None:
    every, texts = routes()
    expressions = " ".join([*shown(), *(rule["expr"] for rule in rules())])
    patterns = set(re.findall(r'route=~"(.*?)"', expressions))
    assert patterns
    for pattern in patterns:
        assert {path for path in every if re.fullmatch(pattern, path)} == texts
    named = set(re.findall(r'route="(.*?)"', expressions))
    assert named == {"/v1/predict", "/v1/predict/batch", "/v1/analyze", "/v1/explain"}
    assert named <= texts


def test_no_two_panels_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    identifiers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identifiers)) == len(identifiers)


@pytest.fixture(scope="module")
def prometheus(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Prometheus with our configuration, at a service that has answered for a while."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("no prometheus on this machine; Debian's package of that name has it")
    directory = tmp_path_factory.mktemp("prometheus")
    shutil.copy(PROMETHEUS / "alerts.yml", directory)
    keys = directory / "keys.txt"
    keys.write_text(FILE, encoding="utf-8")
    settings = {"SENTIMENT_API_KEYS_FILE": str(keys), "SENTIMENT_COMPAT": "oip"}
    configuration = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    with served(tiny_artifact, directory / "log", **settings) as (_, address):
        wait_ready(address)
        # Where it is and how often: nothing else differs from the file that ships.
        configuration = configuration.replace("sentiment:8000", address.removeprefix("http://"))
        (directory / "prometheus.yml").write_text(configuration.replace("15s", "1s"))
        url = f"http://127.0.0.1:{free_port()}"
        with (directory / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address={url.removeprefix('http://')}",
                ],
                stderr=log,
            )
        try:
            wait_for(lambda: answers(f"{url}/-/ready"))
            wait_for(partial(query, url, "up == 1"))
            for number, text in enumerate(("房间很好", "早餐很差", "电影在三楼"), 1):
                with httpx2.Client(base_url=address, headers=bearer(SHOP)) as client:
                    items = [{"text": text}] * 100
                    client.post("/v1/predict/batch", json={"items": items})
                    lines = f'{{"text": "{text}"}}\n' * 10
                    kind = {"content-type": "application/x-ndjson"}
                    client.post("/v1/predict/stream", content=lines, headers=kind)
                    for path in ("/v1/predict", "/v1/analyze", "/v1/explain"):
                        assert client.post(path, json={"text": text}).status_code == 200
                    assert client.post(INFER, json=tensor(text)).status_code == 200
                    client.post("/v1/predict", json={})
                # A rate needs a scrape before a change and one after it.
                refused = f'sum(sentiment_refusals_total{{reason="invalid"}}) >= {number}'
                wait_for(partial(query, url, refused))
            wait_for(partial(query, url, "sentiment_drift_stability_index"))
            wait_for(partial(query, url, "rate(sentiment_requests_total[1m]) > 0"))
            yield url
        finally:
            process.terminate()
            process.wait(60)


def query(url: str, expression: str) -> list[Any]:
    answer = httpx2.get(f"{url}/api/v1/query", params={"query": expression})
    assert answer.status_code == 200, answer.text
    result: list[Any] = answer.json()["data"]["result"]
    return result


@pytest.mark.process
def test_every_metric_of_dashboard_and_rules_is_in_a_real_scrape(prometheus: str) -> None:
    stored = set(httpx2.get(f"{prometheus}/api/v1/label/__name__/values").json()["data"])
    expressions = [*shown(), *(rule["expr"] for rule in rules())]
    named = set().union(*map(metric_names, expressions))
    assert len(named) > 20
    assert named <= stored, named - stored


@pytest.mark.process
def test_every_panel_has_something_to_show(prometheus: str) -> None:
    empty = [
        panel["title"]
        for panel in panels()
        for target in panel["targets"]
        if not query(prometheus, filled(target["expr"]))
    ]
    assert empty == ["Requests that failed, by endpoint"]


@pytest.mark.process
def test_what_is_served_is_what_is_served_now(prometheus: str) -> None:
    (panel,) = [panel for panel in panels() if panel["title"] == "What is served"]
    (row,) = query(prometheus, filled(panel["targets"][0]["expr"]))
    shown = set(row["metric"]) - {
        name
        for name, hidden in panel["transformations"][0]["options"]["excludeByName"].items()
        if hidden
    }
    assert shown == {"instance", "model", "model_version", "engine", "version", "model_digest"}
    assert panel["targets"][0]["expr"].endswith(" == 1")


@pytest.mark.process
def test_a_start_is_marked_at_its_time(prometheus: str) -> None:
    starts, deploys = dashboard()["annotations"]["list"]
    assert starts["useValueForTime"]
    (start,) = query(prometheus, filled(starts["expr"]))
    assert time.time() - 600 < float(start["value"][1]) / 1000 < time.time()
    assert query(prometheus, filled(deploys["expr"]))  # for two minutes after a model appeared


@pytest.mark.process
def test_the_rules_run_and_no_alert_but_drift_is_up(prometheus: str) -> None:
    (group,) = httpx2.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    wait_for(lambda: query(prometheus, "up") != [])
    assert all(rule["health"] in ("ok", "unknown") for rule in group["rules"])
    firing = query(prometheus, 'ALERTS{alertname!="SentimentDrifting"}')
    assert not firing, firing
