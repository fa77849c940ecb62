"""Log lines: JSON, and nothing of what a user sent."""

import json
import logging
import signal
import sys
from pathlib import Path

import pytest

from service.process.logs import JsonFormatter, TextFormatter, logs_text
from service.settings import LogFormat
from tests.support.clock import wait_for
from tests.support.http import answers
from tests.support.terminal import in_terminal


def exception_record() -> logging.LogRecord:
    try:
        raise ValueError("秘密")
    except ValueError:
        return logging.LogRecord(
            "service", logging.ERROR, __file__, 1, "unexpected error", None, sys.exc_info()
        )


def test_an_exception_is_logged_by_type_and_place_without_its_message() -> None:
    line = JsonFormatter().format(exception_record())
    assert "秘密" not in line
    assert json.loads(line)["exception"] == "ValueError"
    assert "test_logs.py" in json.loads(line)["raised_at"][0]


def test_fields_stand_beside_the_message() -> None:
    record = logging.makeLogRecord({"msg": "request %d", "args": (1,), "fields": {"status": 200}})
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["status"]) == ("request 1", 200)


def test_text_shows_an_exception_without_its_message_too() -> None:
    first, kind, *frames = TextFormatter().format(exception_record()).splitlines()
    assert first.endswith(" error: unexpected error")
    assert kind == "ValueError"
    assert len(frames) == 1
    assert "test_logs.py" in frames[0]


def test_text_shows_what_came_of_a_request_and_every_other_field() -> None:
    request = {"request_id": "1", "method": "GET", "route": "/", "status": 200, "milliseconds": 3.2}
    lines = [
        TextFormatter().format(logging.makeLogRecord({"msg": "m", "levelno": 20, "fields": fields}))
        for fields in (request, request | {"route": None, "status": 404}, {"key": "a\x1b[2J"})
    ]
    assert [line.split(" ", 1)[1] for line in lines] == [
        "GET  /  200  3 ms",
        "GET  (no such path)  404  3 ms",
        "m (key a\\x1b[2J)",
    ]


@pytest.mark.parametrize(
    ("asked", "terminal", "text"),
    [("auto", True, True), ("auto", False, False), ("json", True, False), ("text", False, True)],
)
def test_logs_are_text_on_a_terminal_or_where_asked_for(
    asked: LogFormat, terminal: bool, text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert logs_text(asked) is text


@pytest.mark.process
def test_a_service_in_a_terminal_says_what_to_open(tiny_artifact: Path) -> None:
    everywhere = ("serve", "--host", "0.0.0.0", "--port", "0", "--model", tiny_artifact)
    with in_terminal(*everywhere) as terminal:
        address = terminal.wait_for("(Ctrl-C stops").split("Open ")[1].split()[0]
        assert address.startswith("http://127.0.0.1:")
        wait_for(lambda: answers(f"{address}/readyz"))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        assert "Started server process" not in terminal.shown
