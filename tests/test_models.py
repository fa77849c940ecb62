"""Several models, how new ones take over, and words of one's own."""

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from model.classifier import Classifier
from model.engine_threads import HANG_SECONDS
from model.errors import ConfigError
from service.app import create_app
from service.commands import main
from service.errors import DeadlineError
from service.inference.batcher import Batcher
from service.inference.explainer import Explainer
from service.routes.stream import MEDIA_TYPES
from service.routes.stream import PATH as STREAM
from service.settings import load_settings
from service.state import Service
from tests.support.artifacts import SHIPPED, turn, version_of
from tests.support.clock import until, wait_for
from tests.support.held import HeldEngine, hold
from tests.support.http import assert_problem, wait_ready
from tests.support.logs import log_lines
from tests.support.metrics import ready_workers, reloads, samples
from tests.support.process import served

TEXT = {"text": "房间很好"}
NDJSON = {"content-type": MEDIA_TYPES[0]}


@pytest.fixture(scope="module")
def service(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Service:
    newer = version_of(tiny_artifact, tmp_path_factory.mktemp("newer") / "artifact", "2.0.0")
    return Service(load_settings(model=tiny_artifact, models=(SHIPPED, newer)))


@pytest.mark.parametrize(
    ("name", "served_by"),
    [
        (None, "custom 0.1.0"),
        ("custom", "custom 0.1.0"),
        ("custom@2.0.0", "custom 2.0.0"),
        ("zh-general", "zh-general 2.1.0"),
        ("zh-general@2.1.0", "zh-general 2.1.0"),
    ],
)
@pytest.mark.parametrize("path", ["predict", "predict/batch", "analyze", "explain"])
def test_a_request_may_name_its_model(
    client: TestClient, path: str, name: str | None, served_by: str
) -> None:
    body = {"items": [TEXT]} if path == "predict/batch" else TEXT
    named = body if name is None else {**body, "model": name}
    model = client.post(f"/v1/{path}", json=named).json()["model"]
    assert f"{model['name']} {model['version']}" == served_by

    # A stream names it before its first line.
    query = {} if name is None else {"model": name}
    reply = client.post(STREAM, params=query, content=json.dumps(TEXT), headers=NDJSON)
    assert json.loads(reply.text.splitlines()[-1])["model"] == model


@pytest.mark.parametrize("name", ["other", "custom@0.1.1", "", "custom@", "好" * 1000])
def test_an_unknown_model_is_a_404(client: TestClient, name: str) -> None:
    body = {**TEXT, "model": name[:256]}
    problem = assert_problem(client.post("/v1/predict", json=body), 404)
    assert "no such model" in problem["detail"]
    problem = assert_problem(
        client.post(STREAM, params={"model": name}, content=b"{", headers=NDJSON), 404
    )
    assert "no such model" in problem["detail"]


def test_a_stream_meets_the_queue_of_the_model_that_it_names(
    client: TestClient, service: Service
) -> None:
    content, path = json.dumps(TEXT), f"{STREAM}?model=custom@2.0.0"
    queue = service.models.find("custom@2.0.0").batcher
    queue.admission.acquire("somebody", service.settings.max_queue_texts)
    assert_problem(client.post(path, content=content, headers=NDJSON), 429)
    assert client.post(STREAM, content=content, headers=NDJSON).status_code == 200
    queue.admission.release("somebody", service.settings.max_queue_texts)


def test_the_models_are_listed_the_default_first(client: TestClient) -> None:
    body = client.get("/v1/model").json()
    assert body["name"] == "custom"
    listed = [f"{model['name']} {model['version']}" for model in body["models"]]
    assert listed == ["custom 0.1.0", "zh-general 2.1.0", "custom 2.0.0"]
    info = [name for name in samples(client.get("/metrics").text) if "build_info" in name]
    assert len(info) == 3


def test_the_same_model_twice_is_refused(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIMENT_MODELS", f" {SHIPPED}, {tiny_artifact},")
    result = CliRunner().invoke(main, ["serve", "--check"])
    assert result.exit_code == 2
    assert "zh-general@2.1.0, as another directory" in result.output
    result = CliRunner().invoke(main, ["serve", "--check", "--model", str(tiny_artifact)])
    assert result.exit_code == 2
    monkeypatch.setenv("SENTIMENT_MODELS", str(SHIPPED))
    result = CliRunner().invoke(main, ["serve", "--check", "--model", str(tiny_artifact)])
    assert result.stdout == "the settings fit, and custom 0.1.0, zh-general 2.1.0 can be served\n"


@pytest.mark.process
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_new_version_takes_over_under_load_and_a_broken_one_does_not(
    tiny_artifact: Path, tmp_path: Path, workers: str
) -> None:
    link = tmp_path / "current"
    first = version_of(tiny_artifact, tmp_path / "first", "1.0.0")
    second = version_of(tiny_artifact, tmp_path / "second", "2.0.0")
    link.symlink_to(first)
    log = tmp_path / "log"
    answered: list[str] = []
    failed: list[str] = []
    stop = threading.Event()

    def ask(address: str) -> None:
        with httpx2.Client() as client:
            while not stop.is_set():
                reply = client.post(f"{address}/v1/predict", json=TEXT)
                if reply.status_code == 200:
                    answered.append(reply.json()["model"]["version"])
                else:
                    failed.append(reply.text)

    def turn_to(target: Path) -> None:
        turn(link, target)
        process.send_signal(signal.SIGHUP)

    with served(link, log, SENTIMENT_WORKERS=workers) as (process, address):
        wait_for(lambda: ready_workers(address) == int(workers))
        askers = [threading.Thread(target=ask, args=[address]) for _ in range(4)]
        for asker in askers:
            asker.start()
        wait_for(lambda: len(answered) > 50)
        turn_to(second)
        wait_for(lambda: reloads(address) == (int(workers), 0))
        taken_over = len(answered)
        wait_for(lambda: len(answered) > taken_over + 50)
        assert set(answered[taken_over + 10 :]) == {"2.0.0"}

        (first / "vocab.txt").write_text("broken", encoding="utf-8")
        (first / "weights.safetensors").unlink()
        turn_to(first)
        wait_for(lambda: reloads(address) == (int(workers), int(workers)))
        seen = len(answered)
        wait_for(lambda: len(answered) > seen + 50)
        assert answered[-1] == "2.0.0"
        assert httpx2.get(f"{address}/readyz").status_code == 200
        # Its weights are read when they are first needed: where they were, not by the link.
        assert httpx2.post(f"{address}/v1/explain", json=TEXT).status_code == 200
        stop.set()
        for asker in askers:
            asker.join()
        assert not failed
        assert set(answered) == {"1.0.0", "2.0.0"}
        process.terminate()
        assert process.wait(60) == 0
    errors = [line for line in log_lines(log) if line["level"] == "error"]
    assert any("vocab.txt is not the file" in str(line["message"]) for line in errors)


async def test_a_model_whose_threads_cannot_start_has_failed_to_load(
    tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = version_of(tiny_artifact, tmp_path / "2", "2.0.0")
    service = Service(load_settings(model=tiny_artifact, models=(other,)))
    threads = threading.active_count()
    start, started = threading.Thread.start, []

    def start_most(thread: threading.Thread) -> None:
        if thread.name.startswith("inference-"):
            started.append(thread)
            if len(started) == 1 + service.settings.threads_per_worker:
                raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", start_most)
        await service.models.load()
    assert service.models.failure == "an unexpected error; the log says more"
    await until(lambda: threading.active_count() <= threads + 1)  # that of ``to_thread``
    await service.models.reload()
    assert service.models.failure is None
    await service.models.close()


async def test_what_asks_to_reload_during_a_load_is_not_lost(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    versions = [
        version_of(tiny_artifact, tmp_path / number, f"{number}.0.0") for number in ("1", "2")
    ]
    link.symlink_to(versions[0])

    service = Service(load_settings(model=link))
    loading = asyncio.create_task(service.models.load())
    await asyncio.sleep(0)
    for _ in range(3):
        service.models.reload_soon()
    link.unlink()
    link.symlink_to(versions[1])
    service.models.reload_soon()
    await loading
    await asyncio.gather(*service.models._reloads)
    assert service.models.find().version.version == "2.0.0"
    await service.models.close()


async def test_a_stream_and_an_explanation_end_with_the_model_that_they_began_with(
    tiny_classifier: Classifier,
) -> None:
    engine = HeldEngine(tiny_classifier.engine)
    classifier = Classifier(tiny_classifier.artifact, engine, threads=1)
    batcher = Batcher(classifier, load_settings(), lambda windows: None)
    engine.released.set()
    with batcher.in_use():  # as a stream is, between two of its chunks
        retiring = asyncio.create_task(batcher.retire())
        await asyncio.sleep(0.2)
        assert not retiring.done()
        assert len((await batcher.submit_bulk(["好"])).outcomes) == 1
    await asyncio.wait_for(retiring, 60)

    batcher = Batcher(classifier, load_settings(), lambda windows: None)
    explainer = Explainer(classifier, batcher, load_settings())
    explaining = asyncio.create_task(explainer.explain("房间很好"))
    await asyncio.sleep(0)
    retiring = asyncio.create_task(batcher.retire())
    _, explanation = await asyncio.wait_for(explaining, 60)
    assert len(explanation.units) == 3
    await asyncio.wait_for(retiring, 60)


async def test_an_inference_that_hangs_is_seen_after_another_model_took_over(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(load_settings(model=tiny_artifact, threads=1, deadline_seconds=0.2))
    await service.models.load()
    model = service.models.find()
    engine = hold(service)
    with pytest.raises(DeadlineError):
        await model.batcher.submit(["好"])
    reloading = asyncio.create_task(service.models.reload())
    await until(lambda: service.models.find() is not model)
    await asyncio.sleep(1)  # longer than closing waits for its threads
    assert not service.hangs
    later = time.monotonic() + HANG_SECONDS + 1
    with monkeypatch.context() as patched:
        patched.setattr("time.monotonic", lambda: later)
        service.tick()  # the event loop is well
        assert service.hangs
        assert service.status == "failed"
    engine.released.set()
    await asyncio.wait_for(reloading, 60)
    assert not service.models._retiring
    await service.models.close()


def test_a_model_whose_files_are_gone_answers_and_explains(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    copy = version_of(tiny_artifact, tmp_path / "artifact", "1.0.0")
    with TestClient(create_app(load_settings(model=copy))) as client:
        wait_ready(client)
        shutil.rmtree(copy)
        assert client.post("/v1/explain", json=TEXT).status_code == 200
        assert client.post("/v1/predict", json=TEXT).status_code == 200


@pytest.mark.process
def test_a_service_whose_artifact_was_broken_comes_back(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "artifact"
    with served(directory, tmp_path / "log") as (process, address):
        wait_for(lambda: httpx2.get(f"{address}/health").json()["status"] == "failed")
        shutil.copytree(tiny_artifact, directory)
        process.send_signal(signal.SIGHUP)
        wait_ready(address)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0


def words_file(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_words_of_ones_own_change_what_is_read(tmp_path: Path) -> None:
    settings = load_settings(
        user_words=words_file(tmp_path / "user", "\ufeff绝绝子 100 n\nT恤 3 n\n\n很耐斯\n"),
        extra_stopwords=words_file(tmp_path / "stop", "房間\nＡＰＰ\n用了很久\n"),
        kept_words=words_file(tmp_path / "kept", "与此同时\n"),
    )
    with TestClient(create_app(settings)) as client:
        wait_ready(client)
        described = client.get("/v1/model").json()["words"]
        body = {"text": "房间绝绝子，app与此同时很耐斯"}
        units = client.post("/v1/explain", json=body).json()["tokens"]
    assert described == {
        "user": ["绝绝子", "很耐斯"],
        "stopwords": ["房间", "app"],
        "kept": ["与此同时"],
        "unmatched": ["t恤", "用了很久"],
    }
    assert {unit["normalized"]: unit["dropped"] for unit in units} == {
        "房间": True,
        "绝绝子": False,
        ",": False,
        "app": True,
        "与此同时": False,
        "很耐斯": False,
    }


def test_a_missing_file_of_words_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTIMENT_USER_WORDS", "/nowhere/words.txt")
    with pytest.raises(ConfigError, match="SENTIMENT_USER_WORDS"):
        load_settings()
