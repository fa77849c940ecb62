"""Dockerfile, compose file and Kubernetes manifests, checked without an engine or a cluster."""

import math
import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import ENVIRONMENT_PREFIX, Settings, load_settings
from tests.support.repository import ROOT

pytestmark = pytest.mark.process


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    linter = ROOT / ".venv" / "bin" / "hadolint"
    if not linter.exists():
        pytest.skip("hadolint is not installed")
    result = subprocess.run(
        [linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_every_setting_reaches_the_container_but_what_the_image_fixes() -> None:
    named = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    fixed = {"SENTIMENT_HOST", "SENTIMENT_PORT", "SENTIMENT_MODEL"}
    passed = {entry.partition("=")[0] for entry in compose()["sentiment"]["environment"]}
    assert {name for name in passed if name.startswith(ENVIRONMENT_PREFIX)} == named - fixed


def test_no_container_fills_the_disk_with_its_log() -> None:
    for name, service in compose().items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name


def test_every_container_is_confined_and_published_to_this_machine_alone() -> None:
    for name, service in compose().items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "mem_limit" in service, name
        for port in service["ports"]:
            assert "127.0.0.1:" in port, name


def test_monitoring_mounts_what_is_there() -> None:
    services = compose()
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["monitoring"]
        assert re.search(r":v?\d+\.\d+\.\d+$", services[name]["image"])
        for volume in services[name]["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).is_dir(), volume


@pytest.mark.parametrize("client", [["docker-compose"], ["docker", "compose"]])
def test_both_composes_accept_the_file(client: list[str]) -> None:
    if (
        shutil.which(client[0]) is None
        or subprocess.run([*client, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip(f"no {' '.join(client)} on this machine")
    arguments = [*client, "--profile", "monitoring", "config", "--quiet"]
    result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


KUBERNETES = ROOT / "deploy" / "kubernetes"
KINDS = [
    "Deployment",
    "Service",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "ServiceMonitor",
    "PrometheusRule",
]
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}
OLDEST = "1.30"


def manifests() -> dict[str, dict[str, Any]]:
    """The manifests by kind, as kustomize puts them together, or as they lie in the folder."""
    if shutil.which("kubectl"):
        result = subprocess.run(
            ["kubectl", "kustomize", KUBERNETES], capture_output=True, text=True, check=True
        )
        found = list(yaml.safe_load_all(result.stdout))
    else:
        listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
        found = [yaml.safe_load((KUBERNETES / name).read_text()) for name in listed]
    assert sorted(item["kind"] for item in found) == sorted(KINDS)
    return {item["kind"]: item for item in found}


def container() -> dict[str, Any]:
    (only,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_fits_the_schema_of_kubernetes(kind: str, version: str) -> None:
    if kind in OF_THE_OPERATOR:
        pytest.skip(f"{kind} is the Prometheus operator's, and no schema of it is at hand")
    kubernetes_validate.validate(manifests()[kind], version, strict=True)


def test_kubernetes_has_the_alerts_of_prometheus() -> None:
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    assert manifests()["PrometheusRule"]["spec"] == alerts


def test_the_schema_refuses_what_is_misspelt() -> None:
    broken = manifests()["Deployment"]
    broken["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(broken, OLDEST, strict=True)


def test_the_pod_meets_the_restricted_profile() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert f"USER {pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text()


def of_the_pod() -> Settings:
    environment = {item["name"]: item["value"] for item in container()["env"]}
    return load_settings(
        **{
            name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
            for name, value in environment.items()
        }
    )


def test_the_probes_ask_the_probe_port() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    settings = of_the_pod()
    assert ports == {"http": settings.port, "probes": settings.probe_port}
    paths = {
        name: container()[name]["httpGet"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {probe["port"] for probe in paths.values()} == {"probes"}
    assert [probe["path"] for probe in paths.values()] == ["/livez", "/livez", "/readyz"]
    grace = manifests()["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > seconds_to_end(settings)


def test_what_is_slow_once_is_not_taken_out_and_what_leaves_is_noticed() -> None:
    for name in ("livenessProbe", "readinessProbe"):
        assert container()[name]["failureThreshold"] == 3
    ready = container()["readinessProbe"]
    assert of_the_pod().drain_seconds > ready["periodSeconds"] * ready["failureThreshold"]
    balancer = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    assert "default-server check inter 500ms fall 3 " in balancer


def test_connections_outlast_those_of_proxies() -> None:
    (composed,) = [
        entry.partition("=")[2]
        for entry in compose()["sentiment"]["environment"]
        if entry.startswith("SENTIMENT_KEEP_ALIVE_SECONDS")
    ]
    assert composed == "${SENTIMENT_KEEP_ALIVE_SECONDS:-75}"
    assert of_the_pod().keep_alive_seconds == 75


def test_prometheus_may_scrape_what_clients_may_not_see() -> None:
    assert not of_the_pod().public_metrics
    found = manifests()
    (endpoint,) = found["ServiceMonitor"]["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("probes", "/metrics")
    (port,) = [port for port in found["Service"]["spec"]["ports"] if port["name"] == "probes"]
    assert port["port"] == of_the_pod().probe_port
    let_in = [
        (list(source), [port["port"] for port in rule["ports"]])
        for rule in found["NetworkPolicy"]["spec"]["ingress"]
        for source in rule["from"]
    ]
    assert let_in == [(["podSelector"], ["http"]), (["namespaceSelector"], ["probes"])]


def seconds_to_end(settings: Settings) -> float:
    return settings.drain_seconds + math.ceil(settings.deadline_seconds) + 1


def test_compose_waits_until_the_service_has_ended() -> None:
    assert float(compose()["sentiment"]["stop_grace_period"].rstrip("s")) > seconds_to_end(
        Settings()
    )


def test_no_address_of_a_service_takes_the_place_of_a_setting() -> None:
    found = manifests()
    assert found["Service"]["metadata"]["name"].upper() + "_" == ENVIRONMENT_PREFIX
    assert found["Deployment"]["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_the_manifests_find_each_other() -> None:
    found = manifests()
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "sentiment"
    assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == ["http", "probes"]
    assert (
        found["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
        == (found["Service"]["metadata"]["labels"])
    )
    # The alerts know the service by this name, here as under compose.
    job = found["Service"]["metadata"]["labels"][found["ServiceMonitor"]["spec"]["jobLabel"]]
    assert f'job="{job}"' in (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()


def test_ray_serve_imports_a_module_that_exists() -> None:
    serve = yaml.safe_load((ROOT / "deploy" / "ray" / "serve.yaml").read_text(encoding="utf-8"))
    module, _, name = serve["applications"][0]["import_path"].partition(":")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert f"\n{name} = " in source
