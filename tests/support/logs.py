"""Log lines, of a process and of this one."""

import json
from pathlib import Path
from typing import Any

import pytest


def log_lines(log: Path) -> list[dict[str, object]]:
    """Parse the JSON lines that a service wrote."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def access_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of every access log record."""
    return [
        record.__dict__["fields"] for record in caplog.records if record.name == "service.access"
    ]
