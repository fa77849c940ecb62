"""Words of one's own: what files of them may hold, and which of them change nothing."""

import logging
import os
from pathlib import Path

import pytest

from model import artifact as artifacts
from model.errors import ConfigError
from model.text.custom_words import CustomWords, read_custom_words
from model.text.pipeline import TextPipeline
from tests.support.artifacts import SHIPPED


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_a_line_of_jiebas_dictionary_is_a_word_and_one_of_stopwords_is_whole(
    tmp_path: Path,
) -> None:
    user = write(tmp_path / "user", "\ufeff絕絕子 100 n\n\nT恤 3 n\r\n絕絕子\n")
    stopwords = write(tmp_path / "stop", " ＡＰＰ \n\u3000\nin fact\n")
    words = read_custom_words(user, stopwords, None)
    assert words == CustomWords(("绝绝子", "t恤"), ("app", "in fact"))


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xb7\xbf", "is not UTF-8"), (None, "cannot be read")]
)
def test_a_file_of_words_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "words"
    if content:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"words {message}"):
        read_custom_words(None, None, path)


def test_a_pipe_in_the_place_of_a_file_of_words_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "words")
    with pytest.raises(ConfigError, match="words cannot be read: it is not a file"):
        read_custom_words(tmp_path / "words", None, None)


def test_words_that_no_token_is_are_set_aside_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = CustomWords(
        user=("绝绝子", "t恤", "easy_install"),
        stopwords=("app", "[泪]", "!!!", "👍🏽", "房间里", "绝绝子"),
        kept=("但是", "in fact", ""),
    )
    pipeline = TextPipeline(user_words=["绝绝子"])
    with caplog.at_level(logging.WARNING):
        matched = words.without_unmatched(pipeline)
    assert matched == CustomWords(
        ("绝绝子",),
        ("app", "[泪]", "绝绝子"),
        ("但是",),
        ("t恤", "easy_install", "!!!", "👍🏽", "房间里", "in fact", ""),
    )
    [record] = caplog.records
    assert "custom words that match no token (7): " in record.message
    assert "t恤, easy_install, !!!" in record.message
    caplog.clear()
    assert matched.without_unmatched(pipeline) == matched
    assert not caplog.records


def test_a_log_line_does_not_grow_with_the_words(caplog: pytest.LogCaptureFixture) -> None:
    words = CustomWords(user=tuple(f"t恤{number}" for number in range(100)))
    assert words.without_unmatched(TextPipeline()).unmatched == words.user
    assert len(caplog.text) < 300
    assert caplog.text.rstrip().endswith("and 90 more")


def test_a_user_word_that_is_not_chinese_alone_is_passed_over() -> None:
    artifact = artifacts.load(SHIPPED)
    words = CustomWords(user=("t恤", "绝绝子"))
    with_words, without = artifact.encoder(words), artifact.encoder(CustomWords(user=("绝绝子",)))
    text = "这件T恤绝绝子"
    assert with_words.tokens(text) == without.tokens(text)
