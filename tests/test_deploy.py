"""Dockerfile, compose file and Kubernetes manifests, checked without an engine or a cluster."""

import math
import re
import shutil
import subprocess
from collections import Counter
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.routes import stream
from service.settings import ENVIRONMENT_PREFIX, Settings, load_settings
from tests.support.repository import ROOT, read

pytestmark = pytest.mark.process

VERSION = installed_version("zh-sentiment")


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


MONITORING = ("prometheus", "alertmanager", "grafana")


def test_no_container_fills_the_memory_with_its_temporary_files() -> None:
    for name, service in compose().items():
        for mount in service.get("tmpfs", []):
            assert mount == "/tmp:size=64m,mode=1777", name
    (volume,) = [
        volume["emptyDir"]
        for volume in manifests()["Deployment"]["spec"]["template"]["spec"]["volumes"]
    ]
    assert volume == {"sizeLimit": "64Mi"}


def test_every_place_that_names_the_version_names_this_one() -> None:
    assert compose()["sentiment"]["image"] == f"${{SENTIMENT_IMAGE:-zh-sentiment:{VERSION}}}"
    assert f'image.version="{VERSION}"' in read("Dockerfile")
    for folder in ("base", "production"):
        (image,) = yaml.safe_load(read(f"deploy/kubernetes/{folder}/kustomization.yaml"))["images"]
        assert image["newName"] == "registry.example.com/zh-sentiment"
        assert image["newTag"] == VERSION


def test_monitoring_mounts_what_is_there_and_is_checked() -> None:
    services = compose()
    for name in MONITORING:
        assert services[name]["profiles"] == ["monitoring"]
        assert re.search(r":v?\d+\.\d+\.\d+$", services[name]["image"])
        asked = services[name]["healthcheck"]["test"][-1]
        (port,) = services[name]["ports"]
        assert asked.startswith(f"http://127.0.0.1:{port.split(':')[1]}/")
        for volume in services[name]["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).is_dir(), volume


def test_alerts_reach_the_alertmanager() -> None:
    configuration = yaml.safe_load(read("deploy/prometheus/prometheus.yml"))
    (manager,) = configuration["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    assert "alertmanager" in compose()["prometheus"]["depends_on"]


def test_the_alertmanager_accepts_its_configuration_and_the_receivers_it_suggests(
    tmp_path: Path,
) -> None:
    tool = shutil.which("amtool")
    if tool is None:
        pytest.skip("no amtool on this machine; Debian's package prometheus-alertmanager has it")
    shipped = read("deploy/alertmanager/alertmanager.yml")
    uncommented = re.sub(r"^    # ", "    ", shipped.partition("receivers:")[2], flags=re.MULTILINE)
    for number, receivers in enumerate((shipped.partition("receivers:")[2], uncommented)):
        (path := tmp_path / f"{number}.yml").write_text(
            shipped.partition("receivers:")[0] + "receivers:" + receivers, encoding="utf-8"
        )
        result = subprocess.run([tool, "check-config", str(path)], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    (receiver,) = yaml.safe_load(path.read_text(encoding="utf-8"))["receivers"]
    assert set(receiver) == {"name", "webhook_configs", "email_configs"}


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
FOLDERS = ["base", "monitoring", "ingress"]
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}
OLDEST = "1.30"


def of_folder(folder: str) -> list[dict[str, Any]]:
    """The manifests that a folder lists."""
    listed = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]
    texts = [(KUBERNETES / folder / name).read_text() for name in listed]
    return [item for text in texts for item in yaml.safe_load_all(text)]


def manifests() -> dict[str, dict[str, Any]]:
    """The manifests of the base and of the Prometheus operator, by kind."""
    return {item["kind"]: item for item in of_folder("base") + of_folder("monitoring")}


def rendered(folder: str) -> list[dict[str, Any]]:
    """What kustomize makes of a folder."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on this machine")
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(result.stdout))


def container() -> dict[str, Any]:
    (only,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = only
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_manifests_fit_the_schema_of_kubernetes(folder: str, version: str) -> None:
    found = [item for item in of_folder(folder) if item["kind"] not in OF_THE_OPERATOR]
    for item in found:
        kubernetes_validate.validate(item, version, strict=True)
    assert bool(found) is (folder != "monitoring")


def test_the_base_needs_nobodys_definitions() -> None:
    found = rendered("base")
    assert sorted(item["kind"] for item in found) == [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    ]
    for item in found:
        kubernetes_validate.validate(item, OLDEST, strict=True)


def test_the_overlay_adds_monitoring_and_an_address_in_one_namespace() -> None:
    found = rendered("production")
    kinds = Counter(item["kind"] for item in found)
    assert kinds == Counter(item["kind"] for item in rendered("base")) + Counter(
        ["ServiceMonitor", "PrometheusRule", "Ingress", "Ingress", "NetworkPolicy"]
    )
    assert {item["metadata"]["namespace"] for item in found} == {"sentiment"}
    for item in found:
        # kube-prometheus-stack reads nothing without it.
        operators = item["kind"] in OF_THE_OPERATOR
        assert ("release" in item["metadata"].get("labels", {})) is operators
        if not operators:
            kubernetes_validate.validate(item, OLDEST, strict=True)


def test_a_change_of_settings_rolls_the_pods_and_keeps_those_of_the_base() -> None:
    named = {}
    for folder in ("base", "production"):
        found = {item["kind"]: item for item in rendered(folder)}
        (only,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
        named[folder] = only["envFrom"][0]["configMapRef"]["name"]
        assert named[folder] == found["ConfigMap"]["metadata"]["name"]
        assert settings_of_the_base().items() <= found["ConfigMap"]["data"].items()
    assert named["base"] != named["production"]


def test_the_ingress_controller_is_let_in_and_streams_are_not_held_up() -> None:
    policy, *addresses = sorted(of_folder("ingress"), key=lambda item: item["kind"] == "Ingress")
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["http"]
    hosts = {rule["host"] for address in addresses for rule in address["spec"]["rules"]}
    assert len(hosts) == 1
    component = read("deploy/kubernetes/ingress/kustomization.yaml")
    assert f"SENTIMENT_ALLOWED_HOSTS={hosts.pop()}," in component
    whole, streams = (address["metadata"]["annotations"] for address in addresses)
    prefix = "nginx.ingress.kubernetes.io"
    assert int(whole[f"{prefix}/proxy-body-size"].rstrip("m")) << 20 == Settings().max_body_bytes
    assert streams[f"{prefix}/proxy-body-size"] == "0"
    assert streams[f"{prefix}/proxy-request-buffering"] == "off"
    assert streams[f"{prefix}/proxy-buffering"] == "off"
    assert int(streams[f"{prefix}/proxy-read-timeout"]) > Settings().stream_idle_seconds
    (path,) = addresses[1]["spec"]["rules"][0]["http"]["paths"]
    assert path["path"] == stream.PATH


def test_pods_spread_over_zones_and_leave_slowly() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    keys = [spread["topologyKey"] for spread in pod["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    behavior = manifests()["HorizontalPodAutoscaler"]["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


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


def settings_of_the_base() -> dict[str, str]:
    lines = (KUBERNETES / "base" / "settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def of_the_pod() -> Settings:
    return load_settings(
        **{
            name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
            for name, value in settings_of_the_base().items()
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
