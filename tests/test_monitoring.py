"""What deploy/ gives Prometheus and Grafana: valid, and true of a running service."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.routing import APIRoute

from service.app import ADAPTERS, ROUTERS
from service.routes import stream
from service.routes.model_route import ModelRoute
from service.settings import load_settings
from service.state import Service
from tests.support.clock import wait_for
from tests.support.http import answers, wait_ready
from tests.support.process import free_port, served
from tests.support.repository import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    path = GRAFANA / "dashboards" / "sentiment.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def shown() -> list[str]:
    """Every expression of the dashboard, its variables filled in."""
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


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
    for rule in rules():
        assert f"alertname: {rule['alert']}\n        exp_alerts" in tested, rule["alert"]


def test_each_alert_has_its_page_in_the_runbook() -> None:
    headings = re.findall(
        r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    alerts = [rule["alert"] for rule in rules()]
    assert [heading for heading in headings if heading.startswith("Sentiment")] == alerts
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


def test_the_runbook_lists_every_metric() -> None:
    table = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`sentiment_[^|]*)", table, re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"sentiment_\w+", cell)}
    exposed = Service(load_settings()).metrics.expose("")[0].decode()
    exist = set(re.findall(r"^# TYPE (sentiment_\w+)", exposed, re.MULTILINE))
    assert listed - exist == set()
    assert not exist - listed


def test_the_dashboard_reads_from_the_source_that_is_provisioned() -> None:
    provisioning = GRAFANA / "provisioning"
    text = (provisioning / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    content = dashboard()
    panels = [panel for panel in content["panels"] if panel["type"] != "row"]
    used = [panel["datasource"] for panel in panels]
    used += [target["datasource"] for panel in panels for target in panel["targets"]]
    used += [variable["datasource"] for variable in content["templating"]["list"]]
    assert {(item["type"], item["uid"]) for item in used} == {("prometheus", source["uid"])}
    assert [panel["title"] for panel in content["panels"] if panel["type"] == "row"] == [
        "Traffic",
        "Errors",
        "Latency",
        "Saturation",
        "Drift",
    ]
    assert all(panel["description"] for panel in panels)


def test_rules_and_dashboard_count_every_route_that_brings_texts() -> None:
    routers = [*ROUTERS, *(router for adapter in ADAPTERS.values() for router in adapter.routers)]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    texts = {route.path for route in routes if isinstance(route, ModelRoute)} | {stream.PATH}
    texts.remove("/")  # to metrics it is the page
    expressions = [*shown(), *(rule["expr"] for rule in rules())]
    patterns = set(re.findall(r'route=~"(.*?)"', " ".join(expressions)))
    assert patterns
    for pattern in patterns:
        assert {route.path for route in routes if re.fullmatch(pattern, route.path)} == texts


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
    configuration = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    with served(tiny_artifact, directory / "log") as (_, address):
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
            for text in ("房间很好", "早餐很差", "电影在三楼"):
                items = [{"text": text}] * 100
                httpx2.post(f"{address}/v1/predict/batch", json={"items": items})
                httpx2.post(f"{address}/v1/predict", json={"text": text})
                httpx2.post(f"{address}/v1/predict", json={})
                time.sleep(2)
            wait_for(lambda: bool(query(url, "sentiment_drift_stability_index")))
            wait_for(lambda: bool(query(url, "rate(sentiment_requests_total[1m]) > 0")))
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
    empty = [expression for expression in shown() if not query(prometheus, expression)]
    assert not empty


@pytest.mark.process
def test_the_rules_run_and_no_alert_but_drift_is_up(prometheus: str) -> None:
    (group,) = httpx2.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    wait_for(lambda: query(prometheus, "up") != [])
    assert all(rule["health"] in ("ok", "unknown") for rule in group["rules"])
    firing = query(prometheus, 'ALERTS{alertname!="SentimentDrifting"}')
    assert not firing, firing
