"""Where the sentences of a text are, by code points of the text itself."""

import re
from typing import NamedTuple

from model.text.normalization import CHARACTER_REFERENCE
from model.text.signs import EMOJI, EMOTICON

# Kept whole where they are closed on their line; a longer one is no part of a sentence.
_PAIRS = (tuple(pair) for pair in ("“”", "‘’", "「」", "『』", "《》", "（）", "【】"))
_QUOTED = "|".join(rf"{left}[^{left}{right}\n\r]{{0,300}}+{right}" for left, right in _PAIRS)
# After a digit it means inches.
_QUOTED += r"|(?<!\d)\"[^\"\n\r]{0,300}+\""
_CLOSING = "”’」』》）)】"

_PART = re.compile(
    rf"""
    (?P<line>[\n\r\x0b\x0c\x85\u2028\u2029]+)
    # Whose marks end nothing.
  | (?P<other>(?i:https?)://[a-zA-Z0-9$%&*+./:=?@\#~_-]+ | {CHARACTER_REFERENCE})
  | (?P<quoted>{_QUOTED})
    # A plain full stop ends a sentence only after Chinese, and one of full width only where no
    # number does: 3.5 and app.cn have one too.
  | (?P<end>(?>(?:[。！？；…｡!?]++ | \.{{2,}}+ | ;(?![0-9]) | (?<![0-9０-９])．
      | (?<=[\u3400-\u9fff])\.(?![0-9A-Za-z]))+)
      [{_CLOSING}]*+ (?:{EMOJI} | {EMOTICON})*)
    """,
    re.VERBOSE,
)
_ENDS_INSIDE = re.compile(r"[。！？…!?][”’」』\"]$")
_GOES_ON = re.compile(r"[，、：。！？；…,:!?;.]")

_WORD = re.compile(r"\w")
_EMOTICONS = re.compile(EMOTICON)


class Sentence(NamedTuple):
    """A sentence is ``text[offset : offset + length]``, without white space around it."""

    offset: int
    length: int


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of a text, in order; between two there is nothing but white space.

    A sentence ends after 。！？；… and their like, with the marks and closing quotes that follow,
    and at the end of a line. A quotation is kept whole; one that ends as a sentence does ends the
    sentence around it, unless a comma or the like goes on. What has no word of its own (marks,
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
    """Where a sentence ends, though perhaps nothing but marks or white space stands before."""
    return [
        match.end()
        for match in _PART.finditer(text)
        if match.lastgroup in ("line", "end")
        or (
            match.lastgroup == "quoted"
            and _ENDS_INSIDE.search(match[0])
            and not _GOES_ON.match(text, match.end())
        )
    ]
