"""Custom words: a user dictionary, further stopwords, and words to keep."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model.errors import ConfigError
from model.files import read_file
from model.text.normalization import normalize
from model.text.pipeline import TextPipeline

logger = logging.getLogger(__name__)

_MAX_BYTES = 32 * 1024**2
# Maximum number of unmatched words that a log line names.
_MAX_NAMED = 10


@dataclass(frozen=True, slots=True)
class CustomWords:
    """Changes to an artifact's text configuration; all words are normalized.

    ``user`` words are kept whole, ``stopwords`` are dropped in addition to the artifact's, and
    ``kept`` words are never dropped. ``unmatched`` words change nothing, since no token is ever
    one of them.
    """

    user: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()

    def without_unmatched(self, pipeline: TextPipeline) -> "CustomWords":
        """Return these words, with those that a pipeline never makes a token of set aside.

        Such a word becomes several tokens, or a different one. They are logged.
        """
        words = dict.fromkeys((*self.user, *self.stopwords, *self.kept))
        unmatched = {
            word: None
            for word in words
            if [token.normalized for token in pipeline.tokenize(word)] != [word]
        }
        if not unmatched:
            return self
        more = len(unmatched) - _MAX_NAMED
        logger.warning(
            "custom words that match no token (%d): %s%s",
            len(unmatched),
            ", ".join(list(unmatched)[:_MAX_NAMED]),
            f" and {more} more" if more > 0 else "",
        )
        user, stopwords, kept = (
            tuple(word for word in given if word not in unmatched)
            for given in (self.user, self.stopwords, self.kept)
        )
        return CustomWords(user, stopwords, kept, (*self.unmatched, *unmatched))


NO_CUSTOM_WORDS = CustomWords()


def read_custom_words(user: Path | None, stopwords: Path | None, kept: Path | None) -> CustomWords:
    """Read words from UTF-8 files, one per line.

    A user word may be followed by a space and the further fields of jieba's dictionary files.

    Raises:
        ConfigError: a file cannot be read.
    """
    return CustomWords(
        _normalized(line.split()[0] for line in _lines(user)),
        _normalized(_lines(stopwords)),
        _normalized(_lines(kept)),
    )


def _normalized(words: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(normalize(word).text for word in words))


def _lines(path: Path | None) -> Iterator[str]:
    """Return the lines that are not blank, without surrounding white space."""
    if path is None:
        return iter(())
    try:
        lines = read_file(path, _MAX_BYTES).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8; save it as UTF-8") from None
    return filter(None, map(str.strip, lines))
