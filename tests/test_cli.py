"""The command ``sentiment``."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from model.errors import BLANK
from service.commands import main
from service.process.health import health
from service.process.runtime import configure_libraries
from service.settings import load_settings
from tests.support.texts import BLANK_TEXTS


def test_predict_answers_texts_in_their_order(tiny_artifact: Path) -> None:
    result = CliRunner().invoke(
        main, ["predict", "--model", str(tiny_artifact), "房间很好", "早餐很差"]
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["input"], line["label"]) for line in lines] == [
        ("房间很好", "positive"),
        ("早餐很差", "negative"),
    ]


def test_predict_answers_every_line_and_says_which_it_cannot(tiny_artifact: Path) -> None:
    result = CliRunner().invoke(
        main, ["predict", "--model", str(tiny_artifact)], input="房间很好\r\n\n<br>\n早餐很差\n"
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line.get("label") for line in lines] == ["positive", None, None, "negative"]
    for line in lines[1:3]:
        assert line["error"]["detail"] == "the text is empty or blank"


def test_what_is_blank_to_the_service_is_blank_in_a_pipe_and_in_a_table(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    arguments = ["predict", "--model", str(tiny_artifact)]
    blank = [text for text in BLANK_TEXTS if "\n" not in text]
    lines = "\n".join(["房间很好", *blank, "早餐很差"])
    result = CliRunner().invoke(main, arguments, input=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert (answers[0]["label"], answers[-1]["label"]) == ("positive", "negative")
    assert {answer["error"]["detail"] for answer in answers[1:-1]} == {BLANK}
    assert len(answers) == len(blank) + 2
    rows = [{"text": text} for text in ("房间很好", *BLANK_TEXTS)]
    table = tmp_path / "reviews.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(main, [*arguments, str(table)])
    assert result.exit_code == 3
    refused = (tmp_path / "reviews.errors.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(refused) == len(BLANK_TEXTS)
    assert all(BLANK in line for line in refused)


def test_a_package_that_only_training_needs_is_named(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "stopwordsiso", None)
    result = CliRunner().invoke(main, ["train", str(corpus), "--run", str(tmp_path)])
    assert result.exit_code == 2
    assert "the package stopwordsiso is missing; run make install" in result.output


def test_a_cluster_needs_a_package_and_a_table(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = CliRunner().invoke(main, ["predict", str(corpus), "--ray", "auto"])
    assert result.exit_code == 2
    assert "the package ray is missing; run make .venv/ray.installed" in result.output
    result = CliRunner().invoke(main, ["predict", "房间很好", "--ray", "auto"])
    assert "--ray are for a table" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "give a table to train on, or --config"),
        (["train", "--config", "zh-general"], "set SENTIMENT_DATA"),
        (["train", "nothing.csv"], "nothing.csv: it does not exist"),
        (["evaluate"], "set SENTIMENT_DATA"),
        (
            ["predict", "--model", "nothing", "好"],
            "is not an artifact, for it has no manifest.json",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SENTIMENT_DATA", raising=False)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_check_says_that_the_service_can_start(tiny_artifact: Path) -> None:
    result = CliRunner().invoke(main, ["serve", "--check", "--model", str(tiny_artifact)])
    assert result.exit_code == 0
    assert result.stdout == "the settings fit, and custom 0.1.0 can be served\n"


def test_a_check_says_in_one_sentence_why_it_cannot(
    tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["serve", "--check", "--model", str(tmp_path)])
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1)
    assert "is not an artifact, for it has no manifest.json" in result.output
    monkeypatch.setenv("SENTIMENT_MAX_QUEUE_TEXTS", "0")
    result = CliRunner().invoke(main, ["serve", "--check", "--model", str(tiny_artifact)])
    assert result.exit_code == 2
    assert "SENTIMENT_MAX_QUEUE_TEXTS" in result.output


def test_the_health_command_explains_itself_as_the_others_do() -> None:
    for flag in ("-h", "--help"):
        result = CliRunner().invoke(health, [flag])
        assert result.exit_code == 0
        assert "Ask a running service" in result.output


@pytest.mark.parametrize(
    ("status", "code"),
    [("ready", 0), ("saturated", 0), ("loading", 1), ("failed", 1), ("draining", 1)],
)
def test_a_service_is_healthy_where_it_serves_busy_or_not(
    monkeypatch: pytest.MonkeyPatch, status: str, code: int
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": status}).encode()
            self.send_response(200 if status == "ready" else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("SENTIMENT_PORT", str(server.server_port))
        result = CliRunner().invoke(main, ["health"])
        thread.join()
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (code, status)


def test_health_asks_where_the_service_listens_by_default() -> None:
    context = health.make_context("health", [])
    settings = load_settings()
    assert (context.params["host"], context.params["port"]) == (settings.host, settings.port)


def test_numpy_starts_threads_only_if_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    configure_libraries()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "4"
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    configure_libraries()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"


@pytest.mark.process
def test_health_imports_little() -> None:
    script = (
        "import sys, service.__main__ as command\n"
        "sys.argv = ['sentiment', 'health', '--port', '1']\n"
        "try: command.main()\n"
        "finally: print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "no service answers on 127.0.0.1:1" in ended.stderr
    assert not {"numpy", "pydantic", "fastapi"} & set(ended.stdout.split())
