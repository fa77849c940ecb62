"""Words of one's own: a user dictionary, further stopwords, and words to keep."""

from dataclasses import dataclass
from pathlib import Path

from model.errors import ConfigError
from model.text import normalize


@dataclass(frozen=True, slots=True)
class OwnWords:
    """What is changed of an artifact's text configuration, each normalised.

    ``user`` words are cut whole, ``stopwords`` are dropped as well, and ``kept`` words are not
    dropped, whatever list holds them.
    """

    user: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


NO_OWN_WORDS = OwnWords()


def read_words(path: Path) -> tuple[str, ...]:
    """The words of a UTF-8 file, one a line; behind a space may stand what jieba's files have.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8; save it as such") from None
    words = (line.split()[0] for line in lines if line.strip())
    return tuple(dict.fromkeys(normalize(word).text for word in words))
