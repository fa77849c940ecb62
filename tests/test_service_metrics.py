"""``/metrics``: what a scrape of the service holds, with one process and with several."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.mmap_dict import MmapedDict

from model import artifact as artifacts
from service import metrics, worker_metrics
from service.app import create_app
from service.drift import MIN_RECENT_TEXTS
from service.settings import load_settings
from tests.support.http import JSON, wait_ready
from tests.support.metrics import Samples, samples, scrape


@pytest.fixture
def client(tiny_artifact: Path) -> Iterator[TestClient]:
    app = create_app(load_settings(model=tiny_artifact, max_items=200))
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def test_a_request_is_counted_with_its_stages_and_its_answers(client: TestClient) -> None:
    items = [{"text": "房间很好"}, {"text": "早餐很差"}, {"text": ""}]
    assert client.post("/v1/predict/batch", json={"items": items}).status_code == 200
    found = scrape(client)
    assert found["sentiment_requests_total,route=/v1/predict/batch,status=200"] == 1
    assert found["sentiment_request_duration_seconds_count,route=/v1/predict/batch"] == 1
    for stage in ("queue", "encode", "infer"):
        assert found[f"sentiment_stage_duration_seconds_count,stage={stage}"] == 1
    assert found["sentiment_batch_texts_sum"] == 2
    assert found["sentiment_predictions_total,label=positive"] == 1
    assert found["sentiment_predictions_total,label=negative"] == 1
    assert found["sentiment_predictions_total,label=neutral"] == 0
    assert found["sentiment_failed_texts_total"] == 1
    assert found["sentiment_confidence_ratio_count"] == 2
    assert found["sentiment_text_windows_sum"] == 2
    assert found["sentiment_tokens_total"] > found["sentiment_unknown_tokens_total"]
    assert found["sentiment_queue_texts"] == 0
    assert found["sentiment_queue_limit_texts"] == 2048
    assert found["sentiment_ready"] == 1


def test_the_wait_for_the_lines_of_a_stream_is_measured(client: TestClient) -> None:
    lines = '{"text": "房间很好"}\n' * 100
    headers = {"content-type": "application/x-ndjson"}
    assert client.post("/v1/predict/stream", content=lines, headers=headers).status_code == 200
    found = scrape(client)
    assert found["sentiment_stream_chunk_duration_seconds_count"] == 2
    assert 0 < found["sentiment_stream_chunk_duration_seconds_sum"] < 60


def test_the_model_that_is_served_is_named(client: TestClient) -> None:
    reference = client.get("/health").json()["model"]
    (info,) = [name for name in scrape(client) if name.startswith("sentiment_build_info")]
    assert f"model_digest={reference['digest']}" in info
    assert "model=custom" in info
    assert "engine=" in info


def test_what_a_client_invents_makes_no_series(client: TestClient) -> None:
    before = set(scrape(client))
    for number in range(20):
        client.get(f"/nothing/{number}")
        client.post(f"/v1/{number}", json={})
        client.get(f"/web/{number}.js")
        client.request(f"M{number}", "/v1/predict")
    new = [
        name
        for name in set(scrape(client)) - before
        if name.startswith(("sentiment_requests_total", "sentiment_refusals"))
    ]
    assert len(new) <= 6, new
    assert scrape(client)["sentiment_requests_total,route=other,status=404"] == 60


@pytest.mark.parametrize(
    ("content", "headers", "reason"),
    [
        (b"{", JSON, "unreadable"),
        (b"{}", JSON, "invalid"),
        (b"{}", {"content-type": "text/plain"}, "media_type"),
        (b"{}", {**JSON, "content-length": "99999999"}, "too_large"),
    ],
)
def test_a_refusal_is_counted_by_its_reason(
    client: TestClient, content: bytes, headers: dict[str, str], reason: str
) -> None:
    client.post("/v1/predict", content=content, headers=headers)
    assert scrape(client)[f"sentiment_refusals_total,reason={reason}"] == 1


def test_refusals_while_the_model_cannot_be_loaded_are_counted(tmp_path: Path) -> None:
    with TestClient(create_app(load_settings(model=tmp_path))) as client:
        client.post("/v1/predict", json={"text": "好"})
        found = scrape(client)
    assert found["sentiment_refusals_total,reason=not_ready"] == 1
    assert found["sentiment_requests_total,route=/v1/predict,status=503"] == 1
    assert found["sentiment_ready"] == 0


def test_drift_shows_when_the_answers_change(client: TestClient) -> None:
    def send(text: str) -> Samples:
        items = [{"text": text}] * (MIN_RECENT_TEXTS // 2)
        assert client.post("/v1/predict/batch", json={"items": items}).status_code == 200
        return scrape(client)

    assert "sentiment_drift_stability_index,signal=labels" not in send("房间很好")
    found = send("早餐很好")  # positive alone
    assert found["sentiment_label_ratio,label=positive,period=recent"] == 1
    assert 0.2 < found["sentiment_label_ratio,label=positive,period=reference"] < 0.5
    assert found["sentiment_drift_stability_index,signal=labels"] > 0.25
    for name in ("sentiment_mean_confidence_ratio", "sentiment_unknown_token_ratio"):
        for period in ("recent", "reference"):
            assert 0 <= found[f"{name},period={period}"] <= 1
    assert "sentiment_drift_stability_index,signal=confidence" in found
    assert "sentiment_drift_stability_index,signal=unknown" in found


def test_drift_looks_back_no_further_than_its_window(client: TestClient) -> None:
    for text in ("房间很好", "早餐很差"):
        for _ in range(10):
            client.post("/v1/predict/batch", json={"items": [{"text": text}] * 200})
    assert scrape(client)["sentiment_label_ratio,label=negative,period=recent"] == 1


def test_an_artifact_without_a_reference_has_no_drift(tiny_artifact: Path, tmp_path: Path) -> None:
    artifact = artifacts.load(tiny_artifact)
    manifest = artifact.manifest.model_copy(update={"drift_baseline": None})
    artifacts.save(replace(artifact, manifest=manifest), tmp_path)
    with TestClient(create_app(load_settings(model=tmp_path))) as client:
        wait_ready(client)
        client.post("/v1/predict", json={"text": "房间很好"})
        found = scrape(client)
    assert found["sentiment_predictions_total,label=positive"] == 1
    assert not [name for name in found if "drift" in name or "label_ratio" in name]


_WORKER = """
import os, sys
from pathlib import Path
from fastapi.testclient import TestClient
from service import worker_metrics
if sys.argv[2] == "first":
    worker_metrics.empty_directory()
from service.app import create_app
from service.settings import load_settings
from tests.support.http import wait_ready
with TestClient(create_app(load_settings(model=Path(sys.argv[1])))) as client:
    wait_ready(client)
    client.post("/v1/predict", json={"text": "房间很好"})
    print(client.get("/metrics").text)
if sys.argv[2] == "last":
    worker_metrics.worker_ended(os.getpid())
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    print("ENDED")
    print(generate_latest(registry).decode())
"""


@pytest.mark.process
def test_workers_count_together_and_a_new_start_counts_from_nothing(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "metrics"
    directory.mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}

    def worker(place: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", _WORKER, str(tiny_artifact), place],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    key = "sentiment_requests_total,route=/v1/predict,status=200"
    assert samples(worker("first"))[key] == 1
    before, after = worker("last").split("ENDED\n")
    assert samples(before)[key] == 2
    assert samples(before)["sentiment_stage_duration_seconds_count,stage=infer"] == 2
    assert samples(before)["sentiment_ready"] == 2
    assert len([name for name in samples(before) if "build_info" in name]) == 1
    assert samples(after)[key] == 2
    assert samples(after)["sentiment_ready"] == 1
    assert samples(worker("first"))[key] == 1


def test_a_worker_that_counts_nothing_leaves_nothing_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    worker_metrics.reserve_files(1)
    worker_metrics.expose_workers("")
    worker_metrics.worker_ended(1)
    worker_metrics.expose_workers("")
    assert list(tmp_path.iterdir()) == []


def count(directory: Path, process_id: int, requests: float) -> None:
    """Leaves what a worker would."""
    key = '["m", "m_total", {"route": "/"}, "Help."]'
    bucket = '["h", "h_bucket", {"le": "%s"}, "Help."]'
    for kind, values in {
        "counter": {key: requests},
        "histogram": {bucket % 1.0: requests, bucket % "+Inf": 1.0},
        "gauge_livesum": {key.replace("m", "g"): 1.0},
    }.items():
        written: Any = MmapedDict(str(directory / f"{kind}_{process_id}.db"))  # type: ignore[no-untyped-call]
        for name, value in values.items():
            written.write_value(name, value, 0.0)
        written.close()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


def exposed() -> Samples:
    return samples(worker_metrics.expose_workers("")[0].decode())


def test_workers_that_have_ended_cost_no_scrape_a_file(shared: Path) -> None:
    count(shared, 1000, 5)
    for process_id in range(100):
        worker_metrics.reserve_files(process_id)
        count(shared, process_id, 2)
        worker_metrics.worker_ended(process_id)
    found = exposed()
    assert found["m_total,route=/"] == 205
    assert (found["h_bucket,le=1.0"], found["h_count"]) == (205, 306)
    names = {file.name for file in shared.iterdir()}
    ended = {"counter_ended.db", "histogram_ended.db"}
    assert names == ended | {
        f"{kind}_1000.db" for kind in ("counter", "histogram", "gauge_livesum")
    }
    worker_metrics.empty_directory()
    assert not list(shared.iterdir())


def test_no_scrape_counts_twice_or_not_at_all_while_a_worker_ends(shared: Path) -> None:
    ended = threading.Event()

    def end_them() -> None:
        for process_id in range(60):
            worker_metrics.worker_ended(process_id)
        ended.set()

    for process_id in range(60):
        count(shared, process_id, 1)
    ending = threading.Thread(target=end_them)
    ending.start()
    seen = set()
    while not ended.is_set():
        seen.add(exposed()["m_total,route=/"])
    ending.join()
    seen.add(exposed()["m_total,route=/"])
    assert seen == {60}


def test_what_is_half_added_is_told_once_it_is_whole(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(shared, 1, 7)
    count(shared, 2, 7)  # as if it had been added already
    (shared / "merging").touch()
    waits: list[float] = []

    def finish(seconds: float) -> None:
        waits.append(seconds)
        (shared / "counter_2.db").unlink()
        (shared / "merging").unlink()

    monkeypatch.setattr("time.sleep", finish)
    assert exposed()["m_total,route=/"] == 7
    assert len(waits) == 1
    # The process that merges was killed: better counted twice than never.
    (shared / "merging").touch()
    monkeypatch.setattr("time.sleep", waits.append)
    assert exposed()["m_total,route=/"] == 7


def test_a_disk_without_room_loses_no_count_of_a_worker_that_ends(
    shared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    count(shared, 1, 3)
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write(path, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    worker_metrics.worker_ended(1)
    assert "No space left on device" in caplog.text
    assert exposed()["m_total,route=/"] == 3
    assert {file.name for file in shared.iterdir()} == {"counter_1.db", "histogram_1.db"}


def test_a_scrape_that_takes_long_holds_up_nobody(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    at_once: list[int] = []
    expose = metrics.Metrics.expose

    def slow(self: metrics.Metrics, accept: str) -> tuple[bytes, str]:
        at_once.append(1)
        begun.set()
        assert may_end.wait(20)
        return expose(self, accept)

    monkeypatch.setattr(metrics.Metrics, "expose", slow)
    with ThreadPoolExecutor() as pool:
        scrapes = [pool.submit(scrape, client) for _ in range(3)]
        assert begun.wait(20)
        assert client.get("/livez").status_code == 200
        assert len(at_once) == 1
        may_end.set()
        assert all("sentiment_ready" in each.result() for each in scrapes)
