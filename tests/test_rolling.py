"""What takes minutes: rolling restarts behind a load balancer, model swaps, memory over time."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.support.artifacts import turn, version_of
from tests.support.clock import wait_for
from tests.support.http import answers, wait_ready
from tests.support.metrics import ready_workers, reloads
from tests.support.process import balancer, free_ports, served
from tests.support.texts import sentences

pytestmark = [pytest.mark.slow, pytest.mark.process]

REQUESTS = 20_000
CLIENTS = 8
DRAIN_SECONDS = 3


class Load:
    """Clients that send one request after the other until they are stopped."""

    def __init__(self, port: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._port = port
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(i,)) for i in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        return self.outcomes.total()

    def _send(self, seed: int) -> None:
        chosen = random.Random(seed)
        texts = [text for text, _ in sentences()]
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stopped.is_set():
            body = json.dumps({"text": chosen.choice(texts)})
            try:
                connection.request(
                    "POST", "/v1/predict", body, {"content-type": "application/json"}
                )
                answer = connection.getresponse()
                complete = b'"label"' in answer.read()
                outcome = str(answer.status) if complete else f"{answer.status} without an answer"
            except (OSError, HTTPException) as error:
                outcome = type(error).__name__
                connection.close()
            with self._lock:
                self.outcomes[outcome] += 1
        connection.close()


def start(port: int, model: Path, log: Path, drain: int) -> subprocess.Popen[bytes]:
    """An instance, ready."""
    environment = {
        **os.environ,
        "SENTIMENT_PORT": str(port),
        "SENTIMENT_MODEL": str(model),
        "SENTIMENT_DRAIN_SECONDS": str(drain),
        "SENTIMENT_LOG_LEVEL": "warning",
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, stderr=file
        )
    wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
    return process


@pytest.mark.parametrize(("drain", "loses"), [(0, True), (6, False)])
def test_the_wait_is_what_a_balancer_needs_that_notices_late_and_does_not_retry(
    tiny_artifact: Path, tmp_path: Path, drain: int, *, loses: bool
) -> None:
    ports = free_ports(2)
    instances = [start(port, tiny_artifact, tmp_path / f"log-{port}", drain) for port in ports]
    slow = {
        "retries": "retries 0",
        "option redispatch": "",
        "default-server": "default-server check inter 1s fall 2 rise 1",
    }
    try:
        with balancer(tmp_path, ports, **slow) as port, Load(port) as load:
            wait_for(lambda: load.sent > 100)
            instances[0].terminate()
            assert instances[0].wait(60) == 0
            before = load.sent
            wait_for(lambda: load.sent > before + 100)
    finally:
        for process in instances:
            process.kill()
            process.wait()
    assert load.outcomes["200"] > 100
    assert (set(load.outcomes) != {"200"}) == loses, load.outcomes


def test_a_rolling_restart_under_load_loses_no_request(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = free_ports(2)

    def begin(index: int, rolls: int) -> subprocess.Popen[bytes]:
        log = tmp_path / f"log-{index}-{rolls}"
        return start(ports[index], tiny_artifact, log, DRAIN_SECONDS)

    instances = [begin(0, 0), begin(1, 0)]
    rolls = 0
    try:
        with balancer(tmp_path, ports) as port, Load(port) as load:
            while rolls < 2 or load.sent < REQUESTS:
                index = rolls % 2
                instances[index].terminate()
                assert instances[index].wait(60) == 0
                rolls += 1
                instances[index] = begin(index, rolls)
                time.sleep(2)  # until the balancer has seen it
    finally:
        for process in instances:
            process.kill()
            process.wait()
    with capsys.disabled():
        print(f"\n{rolls} restarts, {load.sent} requests: {dict(load.outcomes)}")  # noqa: T201
    assert load.sent >= REQUESTS
    assert set(load.outcomes) == {"200"}


def wait_for_reloads(url: str, count: int) -> None:
    wait_for(lambda: sum(reloads(url)) == count)


@pytest.mark.parametrize("workers", [1, 2])
def test_models_that_take_over_again_and_again_lose_no_request(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    versions = [
        version_of(tiny_artifact, tmp_path / number, f"{number}.0.0") for number in ("1", "2")
    ]
    broken = version_of(tiny_artifact, tmp_path / "3", "3.0.0")
    (broken / "vocab.txt").write_text("broken", encoding="utf-8")
    link = tmp_path / "current"
    link.symlink_to(versions[0])
    settings = {"SENTIMENT_WORKERS": str(workers), "SENTIMENT_DEADLINE_SECONDS": "25"}
    with served(link, tmp_path / "log", **settings) as (process, url):
        wait_for(lambda: ready_workers(url) == workers)
        swaps = 0
        with Load(int(url.rsplit(":", 1)[1])) as load:
            while swaps < 10 or load.sent < REQUESTS:
                turn(link, broken if swaps == 4 else versions[(swaps + 1) % 2])
                process.send_signal(signal.SIGHUP)
                swaps += 1
                wait_for_reloads(url, swaps * workers)
        assert reloads(url) == ((swaps - 1) * workers, workers)
        process.terminate()
        assert process.wait(60) == 0
    with capsys.disabled():
        print(f"\n{swaps} swaps, {load.sent} requests: {dict(load.outcomes)}")  # noqa: T201
    assert set(load.outcomes) == {"200"}


def resident_bytes(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_neither_memory_nor_threads_grow_with_the_requests(
    tiny_artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc on this machine")
    with served(tiny_artifact, tmp_path / "log") as (process, url):
        wait_ready(url)
        sizes, threads = [], []
        for until in (4_000, 8_000, 16_000):
            with Load(int(url.rsplit(":", 1)[1])) as load:
                wait_for_requests(load, until // 2)
            sizes.append(resident_bytes(process.pid))
            threads.append(len(list(Path(f"/proc/{process.pid}/task").iterdir())))
    with capsys.disabled():
        print(f"\nresident MiB: {[round(size / 2**20, 1) for size in sizes]}")  # noqa: T201
    assert set(load.outcomes) == {"200"}
    assert sizes[2] < sizes[1] * 1.05
    assert threads[2] == threads[1] == threads[0]


def wait_for_requests(load: Load, count: int) -> None:
    while load.sent < count:
        time.sleep(0.1)
