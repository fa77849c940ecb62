"""Splits a text into sentences, given as offsets in code points."""

import re
from typing import NamedTuple

from model.text.normalization import CHARACTER_REFERENCE
from model.text.signs import EMOJI, EMOTICON

# A quotation is kept whole if it is closed on its line and not too long.
_PAIRS = (tuple(pair) for pair in ("“”", "‘’", "「」", "『』", "《》", "（）", "【】"))
_QUOTED = "|".join(rf"{left}[^{left}{right}\n\r]{{0,300}}+{right}" for left, right in _PAIRS)
# After a digit the mark means inches.
_QUOTED += r"|(?<!\d)\"[^\"\n\r]{0,300}+\""
_CLOSING = "”’」』》）)】"

_PART = re.compile(
    rf"""
    (?P<line>[\n\r\x0b\x0c\x85\u2028\u2029]+)
    # Marks inside these end nothing.
  | (?P<other>(?i:https?)://[a-zA-Z0-9$%&*+./:=?@\#~_-]+ | {CHARACTER_REFERENCE})
  | (?P<quoted>{_QUOTED})
    # A plain full stop ends a sentence only after Chinese, and a full-width one unless it follows a
    # digit: 3.5 and app.cn contain them too.
  | (?P<end>(?>(?:[。！？；…｡!?]++ | \.{{2,}}+ | ;(?![0-9]) | (?<![0-9０-９])．
      | (?<=[\u3400-\u9fff])\.(?![0-9A-Za-z]))+)
      [{_CLOSING}]*+ (?:{EMOJI} | {EMOTICON})*)
    """,
    re.VERBOSE,
)
_ENDS_INSIDE = re.compile(r"[。！？…!?][”’」』\"]$")
_CONTINUATION = re.compile(r"[，、：。！？；…,:!?;.]")

_WORD = re.compile(r"\w")
_EMOTICONS = re.compile(EMOTICON)


class Sentence(NamedTuple):
    """The sentence ``text[offset : offset + length]``, without white space around it."""

    offset: int
    length: int


def split_sentences(text: str) -> list[Sentence]:
    """Return the sentences of a text, in order; only white space is between them.

    A sentence ends after 。！？；… and similar marks, including the marks and closing quotes that
    follow, and at the end of a line. A quotation is kept whole; if it ends like a sentence, it ends
    the sentence around it, unless a comma or the like follows. A piece without a word (marks,
    emoji, an emoticon like [泪]) belongs to the sentence before it.

    >>> text = "好！“真的吗？”他问。"
    >>> [text[start : start + length] for start, length in split_sentences(text)]
    ['好！', '“真的吗？”', '他问。']
    """
    sentences: list[Sentence] = []
    wordless_from: int | None = None  # marks before the first word
    start = 0
    for end in [*_ends(text), len(text)]:
        piece = text[start:end]
        begin = start + len(piece) - len(piece.lstrip())
        stop = begin + len(piece.strip())
        start = end
        if begin >= stop:
            continue
        if _WORD.search(_EMOTICONS.sub("", text[begin:stop])):
            first = begin if wordless_from is None else wordless_from
            sentences.append(Sentence(first, stop - first))
            wordless_from = None
        elif sentences:
            sentences[-1] = Sentence(sentences[-1].offset, stop - sentences[-1].offset)
        elif wordless_from is None:
            wordless_from = begin
    if wordless_from is not None:
        sentences.append(Sentence(wordless_from, len(text[wordless_from:].rstrip())))
    return sentences


def _ends(text: str) -> list[int]:
    """Return where sentences end; some pieces in between may contain no word."""
    return [
        match.end()
        for match in _PART.finditer(text)
        if match.lastgroup in ("line", "end")
        or (
            match.lastgroup == "quoted"
            and _ENDS_INSIDE.search(match[0])
            and not _CONTINUATION.match(text, match.end())
        )
    ]
