"""Normalization that keeps offsets: every character knows the code points it came from."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5

import opencc

# An HTML character reference; no name in HTML's list is longer. It may not be one, as in &x;.
CHARACTER_REFERENCE = r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}+|\#(?:[0-9]{1,8}+|[xX][0-9a-fA-F]{1,8}+));"

_REFERENCE = re.compile(CHARACTER_REFERENCE)
_REFERENCE_OR_CHARACTER = re.compile(rf"{CHARACTER_REFERENCE}|.", re.DOTALL)

# Maximum length of one code point's form: all units and abbreviations fit. One Arabic ligature
# becomes 18 letters, which would let a text outgrow its own limit.
_MAX_FORM_LENGTH = 4
_MAX_CACHED_FORMS = 65_536

# Unicode's stream-safe bound: with more marks per character, the canonical reordering of
# normalization would take quadratic time.
_MAX_MARKS = 30


@dataclass(frozen=True, slots=True)
class Normalized:
    """A normalized text and, for each of its characters, the code points it came from.

    ``starts`` and ``ends`` are ``None`` where every character kept its position.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return offset and length in the original text of the non-empty ``text[start:end]``."""
        if self.starts is None or self.ends is None:
            return start, end - start
        return self.starts[start], self.ends[end - 1] - self.starts[start]


def normalize(text: str) -> Normalized:
    """Decode character references, apply NFKC, lower the case, and simplify the characters.

    Any string is accepted, including lone surrogates.

    >>> normalize("ＡＰＰ很&#26834;…").text
    'app很棒...'
    """
    if not _REFERENCE.search(text):
        return _normalize_characters(text)
    decoded, starts, ends = _decode_references(text)
    normalized = _normalize_characters(decoded)
    count = len(normalized.text)
    return Normalized(
        normalized.text,
        [starts[start] for start in normalized.starts or range(count)],
        [ends[end - 1] for end in normalized.ends or range(1, count + 1)],
    )


def normalize_text(text: str) -> str:
    """Return the text of ``normalize(text)``, in less time where offsets would take some."""
    if not _REFERENCE.search(text):
        mapped = text.translate(_CHARACTER_FORMS)
        if unicodedata.is_normalized("NFC", mapped):
            return _simplify(mapped)
    return normalize(text).text


def _decode_references(text: str) -> tuple[str, list[int], list[int]]:
    """Return a text with its character references decoded once, and where each piece came from.

    The two lists are ``starts`` and ``ends`` of ``Normalized``.
    """
    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _REFERENCE_OR_CHARACTER.finditer(text):
        piece, (start, end) = match[0], match.span()
        form = _referenced_text(piece)
        if form is None:
            forms.append(piece)
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
        else:
            forms.append(form)
            starts.extend([start] * len(form))
            ends.extend([end] * len(form))
    return "".join(forms), starts, ends


def _referenced_text(piece: str) -> str | None:
    """Return what a character reference stands for, or ``None`` if HTML does not define it."""
    if piece.startswith("&#"):
        # A reference to no character becomes white space.
        return html.unescape(piece).replace("\ufffd", "") or " "
    return html5.get(piece[1:])


class _CharacterForms(dict[int, str]):
    """Maps a code point to its NFKC form in lower case, computing common ones once."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).lower())
        if 0xD800 <= code_point <= 0xDFFF:  # a lone surrogate is not a character
            form = "\ufffd"
        elif len(form) > _MAX_FORM_LENGTH:
            form = character
        if len(self) < _MAX_CACHED_FORMS:
            self[code_point] = form
        return form


_CHARACTER_FORMS = _CharacterForms()


def _normalize_characters(text: str) -> Normalized:
    """Normalize everything but character references."""
    mapped = text.translate(_CHARACTER_FORMS)
    # No form is empty, so an unchanged length means that each character kept its position.
    if len(mapped) == len(text) and unicodedata.is_normalized("NFC", mapped):
        return Normalized(_simplify(mapped))

    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and end - start <= _MAX_MARKS and _may_compose(text[end]):
            continue
        # A character and the marks after it, which may compose with it.
        composed = unicodedata.normalize("NFC", text[start:end].translate(_CHARACTER_FORMS))
        form = unicodedata.normalize("NFC", composed.translate(_CHARACTER_FORMS))
        forms.append(form)
        starts.extend([start] * len(form))
        ends.extend([end] * len(form))
        start = end
    return Normalized(_simplify("".join(forms)), starts, ends)


def _may_compose(character: str) -> bool:
    """Return whether NFC may compose the character with the one before it."""
    first = _CHARACTER_FORMS[ord(character)][0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


def _simplify(text: str) -> str:
    """Convert traditional characters to simplified ones, keeping the length so offsets hold."""
    convert = _simplifier()
    simplified = convert(text)
    if len(simplified) == len(text):
        return simplified
    return "".join(form if len(form := convert(char)) == 1 else char for char in text)


@lru_cache(maxsize=1)
def _simplifier() -> Callable[[str], str]:
    converter: Callable[[str], str] = opencc.OpenCC("t2s").convert
    return converter
