"""The image and the compose file, built and run by a real engine."""

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import httpx2
import pytest

from tests.support.process import free_port
from tests.support.repository import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.process]


def command(*arguments: str, **environment: str) -> str:
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env={**os.environ, "DOCKER_BUILDKIT": "1", **environment},
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built from the Dockerfile; skipped without an engine."""
    if shutil.which("docker") is None:
        pytest.skip("no docker client on this machine")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    tag = f"zh-sentiment:test-{uuid.uuid4().hex[:8]}"
    command("docker", "build", "--quiet", "--network=host", "--tag", tag, ".")
    return tag


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[tuple[str, str]]:
    """The service under compose, healthy, and its address."""
    compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    project = f"test-{uuid.uuid4().hex[:8]}"
    run = [*compose, "--project-name", project]
    port = free_port()
    settings = {
        "SENTIMENT_PUBLISH": f"127.0.0.1:{port}",
        "SENTIMENT_IMAGE": image,
        "SENTIMENT_DRAIN_SECONDS": "3",
    }
    command(*run, "up", "--detach", "--no-build", **settings)
    try:
        identifier = command(*run, "ps", "--quiet", **settings).strip()
        assert becomes_healthy(identifier), command(*run, "logs", **settings)
        yield identifier, f"http://127.0.0.1:{port}"
    finally:
        command(*run, "down", "--rmi", "all", **settings)


def inspect(name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(command("docker", "inspect", name))[0]
    return described


def becomes_healthy(name: str) -> bool:
    for _ in range(120):
        if inspect(name)["State"]["Health"]["Status"] == "healthy":
            return True
        time.sleep(0.5)
    return False


def test_the_image_holds_what_it_says_and_no_more(image: str) -> None:
    labels = inspect(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == version("zh-sentiment")
    assert inspect(image)["Size"] <= 450e6
    run = ["docker", "run", "--rm", "--entrypoint", "sh", image, "-c"]
    assert command(*run, "! command -v gcc cc make && ls -A ~/.cache /root/.cache || true") == ""
    held = json.loads(command(*run, "cat /opt/sentiment/sbom.cdx.json"))
    assert held["bomFormat"] == "CycloneDX"
    packages = {part["name"].lower(): part["version"] for part in held["components"]}
    lock = (ROOT / "requirements" / "serve.txt").read_text(encoding="utf-8")
    assert f"fastapi=={packages['fastapi']} " in lock
    assert not {"torch", "sympy", "pip"} & packages.keys()


def test_it_starts_without_a_network_and_the_images_own_check_finds_it_healthy(image: str) -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    run = ["docker", "run", "--detach", "--name", name, "--network", "none", "--read-only", image]
    command(*run)
    try:
        assert becomes_healthy(name), command("docker", "logs", name)
        assert '"status":"ready"' in command("docker", "exec", name, "sentiment", "health")
    finally:
        command("docker", "rm", "--force", name)


@pytest.mark.slow
def test_the_target_torch_holds_the_reference_engine(image: str) -> None:
    tag = f"{image}-torch"
    # A wheel at hand, for an engine that reaches no index of PyTorch's.
    extra = f"PIP_EXTRA_ARGS={os.environ.get('TORCH_FIND_LINKS', '')}"
    build = ["docker", "build", "--quiet", "--network=host", "--target", "torch"]
    command(*build, "--build-arg", extra, "--tag", tag, ".")
    try:
        assert inspect(tag)["Size"] <= 1.3e9
        run = ["docker", "run", "--rm", "--env", "SENTIMENT_ENGINE=torch", tag, "predict"]
        assert json.loads(command(*run, "房间干净，服务也好"))["label"] == "positive"
    finally:
        command("docker", "rmi", tag)


def test_the_container_answers_the_readmes_request(container: tuple[str, str]) -> None:
    _, address = container
    answer = httpx2.post(f"{address}/v1/predict", json={"text": "房间干净，服务也好"})
    assert answer.json()["label"] == "positive"
    assert httpx2.get(f"{address}/docs").status_code == 200


def test_the_container_shows_its_metrics(container: tuple[str, str]) -> None:
    _, address = container
    digest = httpx2.get(f"{address}/health").json()["model"]["digest"]
    metrics = httpx2.get(f"{address}/metrics").text
    assert f'model_digest="{digest}"' in metrics
    assert 'engine="onnx"' in metrics
    assert 'sentiment_requests_total{route="/health",status="200"}' in metrics


def test_the_container_is_confined(container: tuple[str, str]) -> None:
    identifier, _ = container
    described = inspect(identifier)
    assert described["Config"]["User"] == "10001:10001"
    assert described["HostConfig"]["ReadonlyRootfs"]
    assert described["HostConfig"]["CapDrop"] == ["ALL"]
    assert described["HostConfig"]["Memory"] == 2 * 1024**3
    assert described["HostConfig"]["PidsLimit"] == 256


def test_the_container_stops_under_load_with_exit_code_0_and_no_lost_answer(
    container: tuple[str, str],
) -> None:
    identifier, address = container
    leaving = threading.Event()

    def send() -> list[int]:
        statuses = []
        while not leaving.is_set():
            text = {"text": "房间干净，服务也好"}
            statuses.append(httpx2.post(f"{address}/v1/predict", json=text).status_code)
        return statuses

    with ThreadPoolExecutor(4) as clients:
        sent = [clients.submit(send) for _ in range(4)]
        time.sleep(1)
        stopping = subprocess.Popen(["docker", "stop", "--time", "15", identifier])
        # What a balancer does: it sends elsewhere once the service is not ready.
        while httpx2.get(f"{address}/readyz").status_code == 200:
            time.sleep(0.1)
        leaving.set()
        statuses = [status for client in sent for status in client.result()]
    assert stopping.wait(60) == 0
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert inspect(identifier)["State"]["ExitCode"] == 0


# As docker-compose.yml has it.
CONFINED = (
    *("--detach", "--restart", "unless-stopped", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--pids-limit", "256", "--health-interval", "5s"),
    *("--publish", "127.0.0.1::8000"),
)


@contextmanager
def running(image: str, *options: str) -> Iterator[tuple[str, str]]:
    """A container, confined as under compose, and its address."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    command("docker", "run", "--name", name, *CONFINED, *options, image)
    try:
        yield name, f"http://{command('docker', 'port', name, '8000').split()[0]}"
    finally:
        command("docker", "rm", "--force", name)


def statuses(address: str, requests: int) -> set[int]:
    """What requests of eight clients are answered with."""

    def send(number: int) -> int:
        text = {"text": "房间干净，服务也好。" * (1 + number % 40)}
        return httpx2.post(f"{address}/v1/predict", json=text, timeout=60).status_code

    with ThreadPoolExecutor(8) as clients:
        return set(clients.map(send, range(requests)))


def test_a_container_that_runs_out_of_memory_is_started_again(image: str) -> None:
    with running(image, "--tmpfs", "/tmp", "--memory", "100m", "--memory-swap", "100m") as (
        name,
        _,
    ):
        for _ in range(240):
            if inspect(name)["RestartCount"]:
                break
            time.sleep(0.5)
        assert inspect(name)["RestartCount"]
        # It comes back by itself, here because there is more.
        command("docker", "update", "--memory", "2g", "--memory-swap", "2g", name)
        assert becomes_healthy(name), command("docker", "logs", name)
        port = command("docker", "port", name, "8000").split()[0]
        assert statuses(f"http://{port}", 8) == {200}


def test_a_quarter_of_a_processor_is_slow_and_no_failure(image: str) -> None:
    with running(image, "--tmpfs", "/tmp", "--memory", "2g", "--cpus", "0.25") as (name, address):
        assert becomes_healthy(name), command("docker", "logs", name)
        assert statuses(address, 80) <= {200, 429, 504}
        assert httpx2.get(f"{address}/livez", timeout=60).status_code == 200
        assert inspect(name)["RestartCount"] == 0


def test_a_full_disk_ends_no_worker(image: str) -> None:
    disk = ("--tmpfs", "/tmp:size=4m", "--env", "SENTIMENT_WORKERS=2")
    with running(image, "--memory", "2g", *disk) as (name, address):
        assert becomes_healthy(name), command("docker", "logs", name)
        fill = "cat /dev/zero > /tmp/rest; df /tmp"
        assert "100%" in command("docker", "exec", name, "sh", "-c", fill)
        assert statuses(address, 80) <= {200, 429}
        assert statuses(f"{address}/nothing", 1) == {404}
        log = subprocess.run(["docker", "logs", name], capture_output=True, text=True).stderr
        assert "exited with code" not in log
