"""Several worker processes behind one port."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from model.engine_threads import HANG_SECONDS
from model.engines import available_cpus
from service.process import workers
from service.process.workers import SharedHeartbeat, Supervisor
from service.settings import load_settings
from tests.support.clock import wait_for
from tests.support.logs import log_lines
from tests.support.metrics import ready_workers, samples
from tests.support.process import free_port, served, worker_ids

pytestmark = pytest.mark.process

REQUESTS = "sentiment_requests_total,route=/v1/predict,status=200"


def counted(address: str) -> float:
    """Requests that any worker has counted; one does so once its client has the answer."""
    return samples(httpx2.get(f"{address}/metrics").text)[REQUESTS]


def runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def predict(address: str) -> None:
    answer = httpx2.post(f"{address}/v1/predict", json={"text": "房间很好"})
    assert answer.json()["label"] == "positive"


def test_workers_answer_count_together_and_end_in_exit_code_0(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    probe_port = free_port()
    settings = {
        "SENTIMENT_WORKERS": "2",
        "SENTIMENT_PROBE_PORT": str(probe_port),
        "TMPDIR": str(tmp_path),
    }
    with served(tiny_artifact, tmp_path / "log", **settings) as (process, address):
        wait_for(lambda: ready_workers(address) == 2)
        for _ in range(20):
            predict(address)
        wait_for(lambda: counted(address) == 20)
        assert httpx2.get(f"{address}/v1/model").json()["limits"]["workers"] == 2
        probe = f"http://127.0.0.1:{probe_port}"
        assert httpx2.get(f"{probe}/livez").status_code == 200
        assert httpx2.get(f"{probe}/readyz").json()["detail"] == "2 of 2 workers accept requests"
        workers = worker_ids(process)
        assert len(workers) == 2
        assert list(tmp_path.glob("sentiment-metrics-*"))
        process.terminate()
        assert process.wait(60) == 0
    assert not any(map(runs, workers))
    assert not list(tmp_path.glob("sentiment-metrics-*"))
    assert all("message" in line for line in log_lines(tmp_path / "log"))


def test_a_worker_that_dies_is_replaced_and_its_counts_stay(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics"
    settings = {"SENTIMENT_WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    with served(tiny_artifact, tmp_path / "log", **settings) as (process, address):
        wait_for(lambda: ready_workers(address) == 2)
        predict(address)
        first = worker_ids(process)
        assert list(metrics.glob(f"gauge_live*_{first[0]}.db"))
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: len(set(worker_ids(process)) - set(first)) == 1)
        wait_for(lambda: ready_workers(address) == 2)
        assert not list(metrics.glob(f"*_{first[0]}.*"))
        left = {file.name for file in metrics.glob("*_ended.db")}
        assert left == {"counter_ended.db", "histogram_ended.db"}
        predict(address)
        wait_for(lambda: counted(address) == 2)
        process.terminate()
        assert process.wait(60) == 0
    assert any(
        "exited with code -9" in str(line["message"]) for line in log_lines(tmp_path / "log")
    )


def test_a_worker_that_still_imports_outlives_a_reload(tiny_artifact: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with served(tiny_artifact, log, SENTIMENT_WORKERS="2") as (process, address):
        wait_for(lambda: ready_workers(address) == 2)
        first = worker_ids(process)
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: len(set(worker_ids(process)) - set(first)) == 1)
        # Its imports take long enough for some of these; that of the other worker, too.
        for _ in range(20):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        wait_for(lambda: ready_workers(address) == 2)
        assert len(set(worker_ids(process)) - set(first)) == 1
        process.terminate()
        assert process.wait(60) == 0
    ended = [line for line in log_lines(log) if "exited with code" in str(line["message"])]
    assert len(ended) == 1


def test_workers_do_not_outlive_their_supervisor(tiny_artifact: Path, tmp_path: Path) -> None:
    settings = {"SENTIMENT_WORKERS": "2", "TMPDIR": str(tmp_path)}
    with served(tiny_artifact, tmp_path / "log", **settings) as (process, address):
        wait_for(lambda: ready_workers(address) == 2)
        workers = worker_ids(process)
        process.kill()
        wait_for(lambda: not any(map(runs, workers)))
    (left,) = tmp_path.glob("sentiment-metrics-*")
    with served(tiny_artifact, tmp_path / "log2", **settings) as (process, address):
        wait_for(lambda: ready_workers(address) == 2)
        (directory,) = tmp_path.glob("sentiment-metrics-*")
        assert directory != left


def test_a_directory_of_metrics_is_removed_when_nobody_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first, kept = workers._metrics_directory()
    second, _ = workers._metrics_directory()
    (Path(first) / "counter_1.db").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "sentiment-metrics-link").symlink_to(tmp_path / "mine")
    (tmp_path / "sentiment-metrics-file").touch()
    workers._metrics_directory()
    assert Path(first).is_dir()
    assert kept is not None
    os.close(kept)
    workers._metrics_directory()
    assert not Path(first).exists()
    assert Path(second).is_dir()
    assert (tmp_path / "mine" / "file").exists()
    assert (tmp_path / "sentiment-metrics-file").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(tiny_artifact: Path, tmp_path: Path) -> None:
    with served(tiny_artifact, tmp_path / "log", SENTIMENT_WORKERS="2") as (process, address):
        wait_for(lambda: ready_workers(address) == 2)
        first = worker_ids(process)
        os.kill(first[0], signal.SIGSTOP)
        for _ in range(2):  # as long as wait_for waits, twice
            try:
                wait_for(lambda: not runs(first[0]))
                break
            except AssertionError:
                continue
        wait_for(lambda: len(worker_ids(process)) == 2)


def test_a_heartbeat_tells_what_was_last_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    heartbeat = SharedHeartbeat()
    now[0] += HANG_SECONDS + 1  # it may take long to start
    assert (heartbeat.ready, heartbeat.stopped) == (False, False)
    heartbeat.record(ready=True)
    assert (heartbeat.ready, heartbeat.stopped) == (True, False)
    now[0] += HANG_SECONDS / 2
    assert (heartbeat.ready, heartbeat.stopped) == (False, False)
    now[0] += HANG_SECONDS
    assert heartbeat.stopped


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "service", "serve", "--port", port],
            env={**os.environ, "SENTIMENT_WORKERS": "2"},
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 2
    assert f"port {port} of 127.0.0.1 is in use; stop the program" in ended.stderr


def test_workers_share_the_processors() -> None:
    assert load_settings().threads_per_worker == available_cpus()
    assert load_settings(workers=64).threads_per_worker == 1
    assert load_settings(workers=2, threads=3).threads_per_worker == 3


def test_a_worker_that_the_system_cannot_start_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor(load_settings(port=0, workers=2))
    refusals = [OSError(errno.EAGAIN, "Resource temporarily unavailable")]
    started: list[Any] = []

    def start(process: Any) -> None:
        if refusals:
            raise refusals.pop()
        started.append(process)

    monkeypatch.setattr(workers._spawning.Process, "start", start)
    supervisor._start_missing()
    assert "cannot start a worker: Resource temporarily unavailable" in caplog.text
    assert started == []
    supervisor._start_missing()
    assert len(started) == 2
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    supervisor._socket.close()
