"""Logs as JSON lines on standard error. They never contain the text of a request."""

import logging
import sys
import traceback
from datetime import UTC, datetime

from model.errors import json_line, printable


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message and ``extra`` fields.

    An exception is written as its type and where it was raised, without its message, which may
    quote a request.
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
    """Formats lines for a terminal, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        return printable(super().format(record))


def configure_logging(level: str) -> None:
    """Send every log line, uvicorn's included, through ``JsonFormatter``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # The request layer writes one line per request; uvicorn's would contain the query string.
    logging.getLogger("uvicorn.access").disabled = True
