"""What goes wrong around the service: it is killed, or files, memory and descriptors run out."""

import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx2
import pytest

from model.bulk.labelling import label_table
from model.classifier import Classifier
from tests.support.clock import wait_for
from tests.support.http import answers, wait_ready
from tests.support.logs import log_lines
from tests.support.metrics import ready_workers
from tests.support.process import balancer, free_port, free_ports, served, worker_ids
from tests.support.repository import ROOT
from tests.support.tables import KINDS, many_texts, run
from tests.support.texts import sentences

pytestmark = pytest.mark.process

LIMIT_SECONDS = 120
RETRIED = {429, 502, 503, 504}
MEGABYTE = 2**20


def predict(address: str) -> int:
    return httpx2.post(f"{address}/v1/predict", json={"text": "房间很好"}).status_code


class PatientClients:
    """Clients who ask a number of times in all, each again until there is an answer."""

    def __init__(self, port: int, requests: int) -> None:
        self.answered = 0
        self.lost = 0
        self.retries: Counter[str] = Counter()
        self._port = port
        self._requests = iter(range(requests))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(8)]

    def __enter__(self) -> "PatientClients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        texts = [text for text, _ in sentences()]
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        while True:
            with self._lock:
                number = next(self._requests, None)
            if number is None:
                break
            answer = self._insist(connection, {"text": texts[number % len(texts)]})
            with self._lock:
                self.answered += "label" in answer
                self.lost += "label" not in answer
        connection.close()

    def _insist(self, connection: HTTPConnection, body: dict[str, str]) -> dict[str, object]:
        """What docs/operations.md tells clients to do."""
        ends = time.monotonic() + LIMIT_SECONDS
        pause = 0.05
        while time.monotonic() < ends:
            try:
                connection.request(
                    "POST", "/v1/predict", json.dumps(body), {"content-type": "application/json"}
                )
                reply = connection.getresponse()
                content = reply.read()
                if reply.status not in RETRIED:
                    answer: dict[str, object] = json.loads(content)
                    return answer
                cause = str(reply.status)
                wait = float(reply.headers.get("retry-after", pause))
            except (OSError, HTTPException) as error:
                connection.close()
                cause, wait = type(error).__name__, pause
            with self._lock:
                self.retries[cause] += 1
            time.sleep(wait)
            pause = min(2 * pause, 1.0)
        return {}


class Instances:
    """Two instances that are started again whenever they end."""

    def __init__(self, model: Path, directory: Path) -> None:
        self.ports = free_ports(2)
        self.starts = 0
        self._model = model
        self._directory = directory
        self._stopped = threading.Event()
        self._processes = [self._start(port) for port in self.ports]
        self._watching = threading.Thread(target=self._watch)

    def __enter__(self) -> "Instances":
        try:
            for port in self.ports:
                wait_for(lambda port=port: answers(f"http://127.0.0.1:{port}/readyz"))  # type: ignore[misc]
        except AssertionError:
            self._end()
            raise
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._watching.join()
        self._end()

    def kill(self, index: int) -> None:
        self._processes[index].kill()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        self.starts += 1
        environment = {
            **os.environ,
            "SENTIMENT_PORT": str(port),
            "SENTIMENT_MODEL": str(self._model),
            "SENTIMENT_LOG_LEVEL": "warning",
        }
        with (self._directory / f"log-{port}").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "service", "serve"], env=environment, stderr=log
            )

    def _watch(self) -> None:
        while not self._stopped.wait(0.1):
            for index, process in enumerate(self._processes):
                if process.poll() is not None:
                    self._processes[index] = self._start(self.ports[index])


@pytest.mark.parametrize(
    ("kills", "requests"),
    [(2, 1_000), pytest.param(20, 50_000, marks=pytest.mark.slow)],
)
def test_who_asks_again_loses_nothing_while_instances_are_killed(
    tiny_artifact: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kills: int,
    requests: int,
) -> None:
    chosen = random.Random(0)
    # After how many answers, and whom.
    moments = sorted(chosen.sample(range(requests // 10, requests * 9 // 10), kills))
    with (
        Instances(tiny_artifact, tmp_path) as instances,
        balancer(tmp_path, instances.ports) as port,
        PatientClients(port, requests) as clients,
    ):
        for moment in moments:
            while clients.answered + clients.lost < moment:
                time.sleep(0.01)
            instances.kill(chosen.randrange(2))
    with capsys.disabled():
        print(f"\n{kills} kills, {requests} requests, asked again: {dict(clients.retries)}")  # noqa: T201
    assert (clients.answered, clients.lost) == (requests, 0)
    assert instances.starts > 2


@contextmanager
def limited(process: int, kind: int, soft: int) -> Iterator[None]:
    """A process with a lower limit, for as long as the context lasts."""
    if not hasattr(resource, "prlimit"):
        pytest.skip("no limits of other processes on this machine")
    before = resource.prlimit(process, kind)
    resource.prlimit(process, kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process, kind, before)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_out_of_descriptors_it_answers_who_is_there_and_then_everybody_again(
    tiny_artifact: Path, tmp_path: Path, workers: str
) -> None:
    log = tmp_path / "log"
    with served(tiny_artifact, log, SENTIMENT_WORKERS=workers) as (process, address):
        wait_for(lambda: ready_workers(address) == int(workers))
        processes = worker_ids(process) if workers != "1" else [process.pid]
        port = int(address.rsplit(":", 1)[1])
        with ExitStack() as limits, ExitStack() as connections, httpx2.Client() as client:
            assert client.get(f"{address}/livez").status_code == 200
            for each in processes:
                opened = len(list(Path(f"/proc/{each}/fd").iterdir()))
                limits.enter_context(limited(each, resource.RLIMIT_NOFILE, opened + 10))
            for _ in range(60):
                connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            wait_for(lambda: "accepting no connections" in log.read_text(encoding="utf-8"))
            started = time.monotonic()
            for _ in range(4):
                body = {"text": "房间很好"}
                assert client.post(f"{address}/v1/predict", json=body).status_code == 200
                time.sleep(0.5)
            said = log.read_text(encoding="utf-8").count("accepting no connections")
            # One a second and process, however long the machine took for all of this.
            assert said <= (time.monotonic() - started + 3) * len(processes)
            connections.close()
            wait_for(lambda: answers(f"{address}/readyz"))
            assert predict(address) == 200


def test_a_log_that_cannot_be_written_holds_up_no_answer(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with served(tiny_artifact, log) as (process, address):
        wait_ready(address)
        with limited(process.pid, resource.RLIMIT_FSIZE, log.stat().st_size):
            assert [predict(address) for _ in range(5)] == [200] * 5
        before = len(log_lines(log))
        assert predict(address) == 200
        wait_for(lambda: len(log_lines(log)) > before)


def test_a_full_disk_under_the_log_holds_up_neither_start_nor_end(
    tiny_artifact: Path,
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this machine")
    port = free_port()
    settings = {"SENTIMENT_PORT": str(port), "SENTIMENT_MODEL": str(tiny_artifact)}
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env={**os.environ, **settings}, stderr=full
        )
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        assert predict(f"http://127.0.0.1:{port}") == 200
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_out_of_memory_a_request_fails_and_the_service_does_not(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    with served(tiny_artifact, tmp_path / "log") as (process, address):
        wait_ready(address)
        assert predict(address) == 200
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
        held = pages * resource.getpagesize()
        items = [{"text": "房间很好，早餐很差。" * 300}] * 60
        with limited(process.pid, resource.RLIMIT_AS, held + MEGABYTE):
            for _ in range(3):
                reply = httpx2.post(
                    f"{address}/v1/predict/batch", json={"items": items}, timeout=60
                )
                assert reply.status_code in (200, 429, 500, 503, 504)
                assert httpx2.get(f"{address}/livez").status_code == 200
        wait_ready(address)
        assert predict(address) == 200
        assert process.poll() is None


def test_workers_wait_for_room_for_their_metrics(tiny_artifact: Path, tmp_path: Path) -> None:
    log, metrics = tmp_path / "log", tmp_path / "metrics"
    settings = {"SENTIMENT_WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    limits = ["sh", "-c", 'ulimit -S -f 200; exec "$@"', "sh"]
    with served(tiny_artifact, log, limits, **settings) as (process, address):
        wait_for(lambda: "no room for a worker's metrics" in log.read_text(encoding="utf-8"))
        _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        wait_for(lambda: ready_workers(address) == 2)
        assert predict(address) == 200
        assert len(list(metrics.iterdir())) == 2 * 5  # nothing is left of those that ended


@pytest.mark.parametrize("variable", ["TMPDIR", "PROMETHEUS_MULTIPROC_DIR"])
def test_workers_without_a_place_for_their_metrics_say_so_in_one_sentence(
    tiny_artifact: Path, tmp_path: Path, variable: str
) -> None:
    occupied = tmp_path / "a file"
    occupied.touch()
    settings = {"SENTIMENT_WORKERS": "2", "SENTIMENT_MODEL": str(tiny_artifact)}
    program = [sys.executable, "-m", "service", "serve", "--port", "0"]
    if variable == "TMPDIR":
        # Where there is none at all, as in a container that is read-only without a tmpfs.
        nowhere = "import sys, tempfile; tempfile._candidate_tempdir_list = lambda: ['/none']; "
        program[1:3] = ["-c", f"{nowhere}from service.__main__ import main; main()"]
    else:
        settings[variable] = str(occupied / "metrics")
    ended = subprocess.run(
        program, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2
    assert re.fullmatch(rf"sentiment: .*{variable}.*\n", ended.stderr), ended.stderr


def test_neither_working_nor_temporary_directory_is_needed(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        with served(tiny_artifact, tmp_path / "log", TMPDIR=str(gone)) as (process, address):
            wait_ready(address)
            assert predict(address) == 200
            process.terminate()
            assert process.wait(60) == 0
    finally:
        os.chdir(Path(__file__).parent)


@pytest.mark.parametrize(
    ("kind", "blocks"),
    # Of 512 bytes: while answers are kept, and where the output is written.
    [("csv", 80), ("csv", 450), ("jsonl", 450), ("parquet", 80)],
)
def test_a_disk_that_is_full_ends_a_table_in_one_sentence_and_it_goes_on(
    tiny_classifier: Classifier, tiny_artifact: Path, tmp_path: Path, kind: str, blocks: int
) -> None:
    table, whole = tmp_path / f"a.{kind}", tmp_path / f"whole.{kind}"
    KINDS[kind](table, many_texts())
    label_table(tiny_classifier, table, whole)
    limit = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"]
    command = [sys.executable, "-m", "service", "predict", str(table)]
    ended = subprocess.run(
        [*limit, *command, "--model", str(tiny_artifact)], capture_output=True, text=True
    )
    assert ended.returncode == 1
    *_, sentence = ended.stderr.splitlines()
    output = tmp_path / f"a.labelled.{kind}"
    assert sentence == (
        f"sentiment: {output} cannot be written: File too large; "
        "make room and continue with --resume"
    )
    assert "Traceback" not in ended.stderr
    assert not output.exists()
    assert [left.stat().st_size for left in tmp_path.glob("*.unfinished")] == [0]
    assert run("--resume", "--model", tiny_artifact, table).exit_code == 3
    assert output.read_bytes() == whole.read_bytes()
