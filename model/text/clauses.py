"""Splits the tokens of a text into clauses: short pieces that can be left out of it."""

import unicodedata
from collections.abc import Iterator, Sequence

from model.text.pipeline import Token, is_punctuation

# As normalized: full-width marks are narrow, and a run of these has a doubled form.
_CLAUSE_ENDS = frozenset(",。.!?;:~")
# A clause without punctuation ends after this many tokens.
MAX_CLAUSE_TOKENS = 24


def split_clauses(text: str, tokens: Sequence[Token], most: int) -> list[range]:
    """Return the clauses of a text, at most ``most``, as ranges of its tokens.

    A clause ends after ，。！？；：～ and similar marks with the closing quotes that follow, at the
    end of a line, and after ``MAX_CLAUSE_TOKENS`` tokens. If there are too many, short ones are
    joined to the next.

    >>> from model.text.pipeline import TextPipeline
    >>> text = "他说：“好！”然后走了"
    >>> tokens = TextPipeline().tokenize(text)
    >>> ["".join(tokens[at].normalized for at in part) for part in split_clauses(text, tokens, 9)]
    ['他说:', '“好!”', '然后走了']
    """
    ends = [*_ends(text, tokens), len(tokens)] if tokens else []
    # At least so many tokens each: then they are at most as many as asked for.
    fewest = -(-len(tokens) // most) if len(ends) > most else 1
    clauses: list[range] = []
    start = 0
    for end in ends:
        if end - start >= fewest or end == len(tokens):
            clauses.append(range(start, end))
            start = end
    return clauses


def _ends(text: str, tokens: Sequence[Token]) -> Iterator[int]:
    """Yield the numbers of the tokens that begin a clause, but for the first."""
    start, ended = 0, False
    for index, token in enumerate(tokens):
        if index > start and (
            (ended and not _closes(token))
            or index - start >= MAX_CLAUSE_TOKENS
            or "\n" in text[tokens[index - 1].offset : token.offset]
        ):
            yield index
            start, ended = index, False
        ended = ended or (token.normalized[0] in _CLAUSE_ENDS and is_punctuation(token))


def _closes(token: Token) -> bool:
    """Return whether a mark belongs to what is before it."""
    return is_punctuation(token) and unicodedata.category(token.normalized[0]) not in {"Ps", "Pi"}
