"""Logs on standard error: JSON lines, or text for a terminal. No line contains a request's text."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from model.errors import harmless, printable
from service.settings import LogFormat


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}:{frame.lineno} {frame.name}"


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
                _place(frame) for frame in traceback.extract_tb(record.exc_info[2])
            ]
        try:
            written = to_json(line).decode()  # in a fifth of the time that json takes
        except PydanticSerializationError:  # half of a surrogate pair, as in the name of a file
            written = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        return written if written.isascii() and written.isprintable() else harmless(written)


class PlainFormatter(logging.Formatter):
    """Formats lines for a terminal, with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter.format``."""
        return printable(super().format(record))


class TextFormatter(PlainFormatter):
    """Formats the lines of a service for a terminal; a request shows what came of it alone."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging calls it so
        """See ``logging.Formatter.formatMessage``."""
        fields = getattr(record, "fields", {})
        if "milliseconds" in fields:
            record.message = (
                f"{fields['method']:4} {fields['route'] or '(no such path)'}  {fields['status']}  "
                f"{fields['milliseconds']:.0f} ms"
            )
        elif fields:
            named = ", ".join(f"{name} {value}" for name, value in fields.items())
            record.message = f"{record.message} ({named})"
        if record.levelno != logging.INFO:
            record.message = f"{record.levelname.lower()}: {record.message}"
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the type of an exception and where it was raised, as ``JsonFormatter`` does."""
        kind, _, trace = ei
        frames = traceback.extract_tb(trace)
        return "\n".join([kind.__name__, *(f"  {_place(frame)}" for frame in frames)])


def logs_text(log_format: LogFormat) -> bool:
    """Return whether the log is text: where asked for, or by itself on a terminal."""
    return log_format == "text" or (log_format == "auto" and sys.stderr.isatty())


def configure_logging(level: str, log_format: LogFormat) -> None:
    """Send every log line, uvicorn's included, to standard error in the format asked for."""
    handler = logging.StreamHandler(sys.stderr)
    text = logs_text(log_format)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # In text, uvicorn's steps of starting and stopping would bury the address to open.
    uvicorn_level = logging.WARNING if text else logging.NOTSET
    logging.getLogger("uvicorn.error").setLevel(uvicorn_level)
    logging.captureWarnings(True)
    # No line names the place that wrote it, its thread or its process, so none is looked for.
    logging._srcfile = None  # as Python's documentation has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # The request layer writes one line per request; uvicorn's would contain the query string.
    logging.getLogger("uvicorn.access").disabled = True
