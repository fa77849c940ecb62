"""Log lines: JSON, and nothing of what a user sent."""

import json
import logging
import sys

from service.process.logs import JsonFormatter


def test_an_exception_is_logged_by_type_and_place_without_its_message() -> None:
    try:
        raise ValueError("秘密")
    except ValueError:
        record = logging.LogRecord(
            "service", logging.ERROR, __file__, 1, "unexpected error", None, sys.exc_info()
        )
    line = JsonFormatter().format(record)
    assert "秘密" not in line
    assert json.loads(line)["exception"] == "ValueError"
    assert "test_logs.py" in json.loads(line)["raised_at"][0]


def test_fields_stand_beside_the_message() -> None:
    record = logging.makeLogRecord({"msg": "request %d", "args": (1,), "fields": {"status": 200}})
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["status"]) == ("request 1", 200)
