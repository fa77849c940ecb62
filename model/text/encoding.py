"""From tokens to the windows of ids that the network reads."""

from dataclasses import dataclass

from model.text.pipeline import TextPipeline, Token, contains_chinese
from model.text.vocabulary import UNKNOWN_ID, Vocabulary

# A window preferably ends after one of these.
_SENTENCE_ENDS = frozenset("。!?;") | {"!!", "??", ".."}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A text as the network reads it.

    ``windows`` are sequences of ids, none empty, whose concatenation is the whole text;
    ``characters`` counts code points of the original, ``tokens`` the tokens that are not dropped,
    and ``unknown`` those among them that the vocabulary lacks, which are read by their characters.
    ``has_chinese`` is whether one of the tokens is a Chinese word.
    """

    windows: tuple[tuple[int, ...], ...]
    characters: int
    tokens: int
    unknown: int
    has_chinese: bool


class Encoder:
    """Turns a text into an ``Encoding``; training and serving call the same one.

    ``window`` is the maximum number of ids that the network reads at once. A longer text is cut
    into several windows: after the last sentence end in a window's second half or, if there is
    none, after the last whole token.
    """

    def __init__(self, pipeline: TextPipeline, vocabulary: Vocabulary, window: int) -> None:
        self.pipeline = pipeline
        self.vocabulary = vocabulary
        self.window = window

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens of a text, including those that are dropped."""
        tokens = self.pipeline.tokenize(text)
        if all(token.dropped for token in tokens):
            # A text of stopwords alone is read whole: there is nothing else to go by.
            return [token._replace(dropped=False) for token in tokens]
        return tokens

    def ids(self, form: str) -> tuple[int, ...]:
        """Return the ids for a token of this form.

        That is its own id or, if the vocabulary lacks it, those of its characters; for an emoji
        or an emoticon, those of the words that it stands for.
        """
        known = self.vocabulary.get(form)
        if known is not None:
            return (known,)
        words = self.pipeline.spelled(form)
        return tuple(number for word in words for number in self.vocabulary.ids(word))

    def encode(self, text: str) -> Encoding:
        """Return the encoding of any string; one without tokens becomes one unknown word."""
        forms = self.pipeline.forms(text)
        stopwords = self.pipeline.stopwords
        # As ``tokens`` has it: a text of stopwords alone is read whole.
        read = [form for form in forms if form not in stopwords] or forms
        found = list(map(self.vocabulary.get, read))
        unknown = found.count(None)
        ids = [
            number
            for form, known in zip(read, found, strict=True)
            for number in (self.ids(form) if known is None else (known,))
        ]
        short = len(ids) <= self.window
        return Encoding(
            windows=(tuple(ids or [UNKNOWN_ID]),) if short else self._windows(read),
            characters=len(text),
            tokens=len(read),
            unknown=unknown,
            has_chinese=any(map(contains_chinese, read)),
        )

    def _windows(self, forms: list[str]) -> tuple[tuple[int, ...], ...]:
        ids: list[int] = []
        windows: list[tuple[int, ...]] = []
        start = sentence_end = token_end = 0  # of the current window, and the last ends inside it
        for form in forms:
            ids.extend(self.ids(form))
            while len(ids) - start > self.window:
                # A token longer than a window has to be cut inside.
                cut = token_end if token_end > start else start + self.window
                if sentence_end - start > self.window // 2:
                    cut = sentence_end
                windows.append(tuple(ids[start:cut]))
                start = cut
            token_end = len(ids)
            if form in _SENTENCE_ENDS:
                sentence_end = token_end
        if ids[start:]:
            windows.append(tuple(ids[start:]))
        return tuple(windows)
