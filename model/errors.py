"""The errors that this package raises on purpose; each says in one sentence what is wrong."""

import json
from typing import Any, Final

BLANK: Final = "the text is empty or blank"

_MOST_SHOWN: Final = 200
# Those that JSON allows in a string as they are: what steers a terminal, and halves of characters,
# which no encoding can write.
_SPELT_OUT: Final = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0xD800, 0xE000))
}


def shown(text: str) -> str:
    """What a file says, fit to stand in a sentence: one short line without control characters."""
    kept = text[:_MOST_SHOWN]
    kept = kept if kept.isprintable() else repr(kept)
    return kept if len(text) <= _MOST_SHOWN else f"{kept}…"


def printable(text: str) -> str:
    """A text with its control characters spelt out, so that it steers no terminal."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text
    )


def json_line(value: Any) -> str:
    """A value as JSON in one line that steers no terminal."""
    return json.dumps(value, ensure_ascii=False).translate(_SPELT_OUT)


class SentimentError(Exception):
    """Base of every error that a caller may expect and handle."""


class ConfigError(SentimentError):
    """A configuration file or value cannot be used."""


class DataError(SentimentError):
    """Training or evaluation data cannot be read or holds too little."""


class ArtifactError(SentimentError):
    """An artifact is missing, damaged, or of another format version."""


class ExportError(SentimentError):
    """The network in int8 differs too much from the one that was trained."""


class BlankTextError(SentimentError):
    """The text to classify leaves nothing to read: white space or markup alone, or nothing."""


class TextLimitError(SentimentError):
    """The text to classify is longer than the limit in force."""


class ClusterError(SentimentError):
    """A Ray cluster cannot be reached, or lost what it was to do."""
