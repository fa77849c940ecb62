"""Logs as JSON lines on standard error. They never hold the text of a request."""

import logging
import sys
import traceback
from datetime import UTC, datetime

from model.errors import json_line, printable


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields given as ``extra``.

    Of an exception it writes the type and where it was raised, but not its message, which may
    quote what a user sent.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["raised_at"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json_line(line)


class PlainFormatter(logging.Formatter):
    """Lines for a terminal, which nothing that they repeat can steer."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        return printable(super().format(record))


def configure_logging(level: str) -> None:
    """Sends everything that is logged, uvicorn's lines included, through ``JsonFormatter``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # The middleware writes the one line a request; uvicorn's own would hold the query string.
    logging.getLogger("uvicorn.access").disabled = True
