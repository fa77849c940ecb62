"""The stopword list that training puts into an artifact."""

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from model.text.normalization import normalize

_KEPT_WORDS_FILE = Path(__file__).with_name("stopwords_kept.toml")


@cache
def kept_words() -> dict[str, frozenset[str]]:
    """Return the listed words that are never dropped, normalized, by what they do in a text."""
    with _KEPT_WORDS_FILE.open("rb") as file:
        groups: dict[str, str] = tomllib.load(file)
    return {group: _normalized(words.split()) for group, words in groups.items()}


def default_stopwords() -> frozenset[str]:
    """Return the maintained ``stopwordsiso`` list for Chinese, normalized, less ``kept_words``."""
    import stopwordsiso  # training only: an artifact ships the list in force

    return _normalized(stopwordsiso.stopwords("zh")).difference(*kept_words().values())


def _normalized(words: Iterable[str]) -> frozenset[str]:
    return frozenset(normalize(word).text for word in words)
