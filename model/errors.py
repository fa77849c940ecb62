"""Exceptions this package raises on purpose. Each message is one sentence that says what is wrong.

SentimentError
├── ConfigError
├── DataError
│   └── UnansweredError
├── ArtifactError
├── ExportError
├── BlankTextError
├── TextLimitError
└── ClusterError
"""

import json
from http import HTTPStatus
from typing import Any, ClassVar, Final

BLANK: Final = "the text is empty or blank"

_MAX_LINE: Final = 200
# Characters that JSON leaves as they are in a string: terminal controls, and lone surrogates, which
# no encoding can write.
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0xD800, 0xE000))}


def one_line(text: str) -> str:
    """Untrusted text made fit for a message: one line, at most 200 characters, all printable."""
    kept = text[:_MAX_LINE]
    kept = kept if kept.isprintable() else repr(kept)
    return kept if len(text) <= _MAX_LINE else f"{kept}…"


def printable(text: str) -> str:
    """The text with control characters escaped, so that it cannot steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text
    )


def json_line(value: Any) -> str:
    """The value as one line of JSON that cannot steer a terminal."""
    return harmless(json.dumps(value, ensure_ascii=False))


def harmless(line: str) -> str:
    """A line of JSON with what could steer a terminal escaped."""
    return line.translate(_ESCAPES)


class SentimentError(Exception):
    """Base class of every error that a caller may expect and handle."""


class ConfigError(SentimentError):
    """A configuration file or value cannot be used."""


class DataError(SentimentError):
    """Training or evaluation data cannot be read, or there is too little of it."""


class UnansweredError(DataError):
    """No row of a table can be classified, or a run over it broke off."""


class ArtifactError(SentimentError):
    """An artifact is missing, damaged, or has another format version."""


class ExportError(SentimentError):
    """The int8 network differs too much from the trained one."""


class TextError(SentimentError):
    """Base of the errors of a single text, which does not keep others from being classified."""

    # As a service tells and counts it; HTTP has the numbers that clients know.
    status: ClassVar = HTTPStatus.UNPROCESSABLE_ENTITY
    reason: ClassVar = "invalid"


class BlankTextError(TextError):
    """The text to classify is empty, or only white space or markup."""


class TextLimitError(TextError):
    """The text to classify exceeds the limit in force."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reason = "too_large"


class ClusterError(SentimentError):
    """A Ray cluster cannot be reached, or lost the work it was given."""
