"""Several machines: a Ray cluster of two nodes, each of one processor."""

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.nodes import apart
from model.bulk.ray_classifier import connected
from model.errors import ClusterError
from tests.support.repository import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.process]


@pytest.fixture(scope="module", autouse=True)
def _ray_can_run() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: make .venv/ray.installed")
    ended = subprocess.run(apart("this"), capture_output=True, check=False)
    if ended.returncode:
        pytest.skip(f"no network namespace: {ended.stderr.decode().strip()}")


def run(case: str, directory: Path) -> Any:
    """What a case of tests/ray_cases.py prints after all that Ray does."""
    ended = subprocess.run(
        apart("tests.ray_cases", case, str(directory)),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_two_nodes_write_what_one_machine_writes(tmp_path: Path) -> None:
    result = run("score", tmp_path)
    assert result["same"]
    assert all(min(files) > 0 for files in result["bytes"])
    assert result["uncertain"] == [False, True]
    assert result["blank"] == "the text is empty or blank"
    assert result["broken"].startswith("a machine of the Ray cluster failed: TypeError: ")


TABLE = ROOT / "tests/files/semicolon.csv"


def refused(address: str) -> str:
    """What is said where there is no cluster."""
    command = [sys.executable, "-m", "service", "predict", str(TABLE), "--ray", address]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    return ended.stderr


def test_an_address_without_a_cluster_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"no Ray cluster answers at 127.0.0.1:{port};" in refused(f"127.0.0.1:{port}")
    assert "no Ray cluster answers at 127.0.0.1:1;" in refused("127.0.0.1:1")


@pytest.mark.parametrize("address", ["", "local", "ray://127.0.0.1:10001", "127.0.0.1"])
def test_what_is_no_address_of_a_cluster_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="give HOST:PORT, or auto"), connected(address):
        raise AssertionError(address)


def test_a_node_that_dies_costs_no_row_and_changes_no_byte(tmp_path: Path) -> None:
    assert run("lose_a_node", tmp_path) == {"same": True, "nodes": 1}


def test_who_has_not_the_clusters_token_is_refused_and_without_one_none_starts(
    tmp_path: Path,
) -> None:
    started, other, none, unaware, held = run("without_the_token", tmp_path)
    assert started[0] != 0
    assert "no authentication token was found" in started[1]
    for code, said in (other, none, unaware):
        assert code == 2
        assert "token" in said
    assert held[0] == 0


def test_ray_serve_answers_as_the_service_does(tmp_path: Path) -> None:
    ready, predicted, broken, model = run("serve", tmp_path)
    assert (ready[0], ready[1]["status"]) == (200, "ready")
    assert (predicted[0], predicted[1]["label"]) == (200, "positive")
    assert (broken[0], broken[1]["title"]) == (400, "Bad Request")
    assert model[1]["limits"]["threads"] == 1
