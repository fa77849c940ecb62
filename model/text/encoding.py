"""From tokens to the windows of ids that a network reads, and what was unknown on the way."""

from dataclasses import dataclass

from model.text.pipeline import TextPipeline, Token, contains_chinese
from model.text.vocabulary import UNKNOWN_ID, Vocabulary

# A window prefers to end behind one of these.
_SENTENCE_ENDS = frozenset("。!?;") | {"!!", "??", ".."}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text as the network reads it.

    ``windows`` are sequences of ids, none empty, whose concatenation is the whole text;
    ``characters`` counts code points of the original, ``tokens`` the tokens read, and ``unknown``
    those of them that the vocabulary lacks and that were read by their characters.
    ``has_chinese`` is false for a text without a single Chinese word that is read.
    """

    windows: tuple[tuple[int, ...], ...]
    characters: int
    tokens: int
    unknown: int
    has_chinese: bool


class Encoder:
    """Turns a text into an ``Encoding``; training and serving call the same one.

    ``window`` is the largest number of ids that the network reads in one go. A longer text is
    read in several windows, cut behind the last sentence end in a window's second half, or, where
    there is none, behind the last whole token.
    """

    def __init__(self, pipeline: TextPipeline, vocabulary: Vocabulary, window: int) -> None:
        self.pipeline = pipeline
        self.vocabulary = vocabulary
        self.window = window

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text, those that are dropped among them."""
        tokens = self.pipeline.tokenize(text)
        if all(token.dropped for token in tokens):
            # A text of stopwords alone is read whole: they are all that there is to go by.
            return [token._replace(dropped=False) for token in tokens]
        return tokens

    def ids(self, form: str) -> tuple[int, ...]:
        """The ids that a token of this form is read by.

        That is its own or, where the vocabulary lacks it, those of its characters; of an emoji
        or an emoticon, those of the words that it stands for.
        """
        known = self.vocabulary.get(form)
        if known is not None:
            return (known,)
        words = self.pipeline.spelled(form)
        return tuple(number for word in words for number in self.vocabulary.ids(word))

    def encode(self, text: str) -> Encoding:
        """The encoding of any string; one that leaves nothing to read is one unknown word."""
        read = [token for token in self.tokens(text) if not token.dropped]
        ids: list[int] = []
        unknown = 0
        for token in read:
            known = self.vocabulary.get(token.normalized)
            if known is None:
                unknown += 1
                ids.extend(self.ids(token.normalized))
            else:
                ids.append(known)
        return Encoding(
            windows=self._windows(read)
            if len(ids) > self.window
            else (tuple(ids or [UNKNOWN_ID]),),
            characters=len(text),
            tokens=len(read),
            unknown=unknown,
            has_chinese=any(map(contains_chinese, read)),
        )

    def _windows(self, tokens: list[Token]) -> tuple[tuple[int, ...], ...]:
        ids: list[int] = []
        windows: list[tuple[int, ...]] = []
        start = sentence = token_end = 0  # of the open window; the last ends seen inside it
        for token in tokens:
            ids.extend(self.ids(token.normalized))
            while len(ids) - start > self.window:
                # One token longer than a window is cut inside, since it must be cut somewhere.
                behind_token = token_end if token_end > start else start + self.window
                cut = sentence if sentence - start > self.window // 2 else behind_token
                windows.append(tuple(ids[start:cut]))
                start = cut
            token_end = len(ids)
            if token.normalized in _SENTENCE_ENDS:
                sentence = token_end
        if ids[start:]:
            windows.append(tuple(ids[start:]))
        return tuple(windows)
