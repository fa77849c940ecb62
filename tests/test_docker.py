"""The image and the compose file, built and run by a real engine."""

import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parent.parent


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
    # PIP_EXTRA_ARGS comes from the environment: --find-links of a wheel on this machine, say.
    tag = f"zh-sentiment:test-{uuid.uuid4().hex[:8]}"
    command(
        "docker",
        "build",
        "--quiet",
        "--network=host",
        "--build-arg",
        "PIP_EXTRA_ARGS",
        "--tag",
        tag,
        ".",
    )
    return tag


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[tuple[str, str]]:
    """The service under compose, healthy, and its address."""
    compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    project = f"test-{uuid.uuid4().hex[:8]}"
    run = [*compose, "--project-name", project]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    publish = {"SENTIMENT_PUBLISH": f"127.0.0.1:{port}", "SENTIMENT_IMAGE": image}
    command(*run, "up", "--detach", "--no-build", **publish)
    try:
        identifier = command(*run, "ps", "--quiet", **publish).strip()
        for _ in range(120):
            state = inspect(identifier)["State"]["Health"]["Status"]
            if state == "healthy":
                break
            time.sleep(0.5)
        assert state == "healthy", command(*run, "logs", **publish)
        yield identifier, f"http://127.0.0.1:{port}"
    finally:
        command(*run, "down", "--rmi", "all", **publish)


def inspect(name: str) -> dict:  # type: ignore[type-arg]
    described: dict = json.loads(command("docker", "inspect", name))[0]  # type: ignore[type-arg]
    return described


def test_the_container_answers_the_readmes_request(container: tuple[str, str]) -> None:
    _, address = container
    answer = httpx2.post(f"{address}/v1/predict", json={"text": "房间干净，服务也好"})
    assert answer.json()["label"] == "positive"
    assert httpx2.get(f"{address}/docs").status_code == 200


def test_the_container_is_confined(container: tuple[str, str]) -> None:
    identifier, _ = container
    described = inspect(identifier)
    assert described["Config"]["User"] == "10001:10001"
    assert described["HostConfig"]["ReadonlyRootfs"]
    assert described["HostConfig"]["CapDrop"] == ["ALL"]


def test_the_container_stops_with_exit_code_0(container: tuple[str, str]) -> None:
    identifier, _ = container
    command("docker", "stop", "--time", "15", identifier)
    assert inspect(identifier)["State"]["ExitCode"] == 0
