"""The encoding of a file, found by its mark or by what decodes and reads as Chinese."""

import random
from collections.abc import Callable

import pytest
from opencc import OpenCC

from model.bulk.encodings import check_readable, find_encoding
from model.errors import DataError
from model.evaluation.release_check import release_check_sentences

_TRADITIONAL = OpenCC("s2t")


def traditional(text: str) -> str:
    converted: str = _TRADITIONAL.convert(text)
    return converted


SIMPLIFIED: Callable[[str], str] = str


@pytest.mark.parametrize(
    ("codec", "spell"),
    [
        ("utf-8", SIMPLIFIED),
        ("utf-8", traditional),
        ("gb18030", SIMPLIFIED),
        ("gb18030", traditional),
        ("big5hkscs", traditional),
        ("utf-16-le", SIMPLIFIED),
        ("utf-16-be", traditional),
    ],
)
def test_three_sentences_suffice_to_tell_the_encoding(
    codec: str, spell: Callable[[str], str]
) -> None:
    sentences = [each.text for each in release_check_sentences()]
    rng = random.Random(0)
    tried = 0
    for _ in range(300):
        rows = "".join(f"{row},{spell(rng.choice(sentences))}\n" for row in range(3))
        try:
            content = f"id,text\n{rows}".encode(codec)
        except UnicodeEncodeError:  # a sign that Big5 lacks
            continue
        assert find_encoding(content).codec == codec, rows
        tried += 1
    assert tried > 150


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("네이버 영화 리뷰입니다 정말 재미있어요 추천합니다", "euc-kr"),
        ("とても美味しかったです、また来ます", "shift_jis"),
        ("Très bon séjour, à refaire dès que possible", "latin-1"),
        ("Отличный отель, приедем ещё", "windows-1251"),
    ],
)
def test_what_is_no_chinese_is_not_read_as_chinese(text: str, codec: str) -> None:
    content = f"{text}\n".encode(codec) * 5
    encoding = find_encoding(content)
    assert encoding.name == "UTF-8"
    with pytest.raises(DataError, match="name it by --encoding"):
        check_readable(content, encoding)
    assert find_encoding(content, given=codec).decode(content.splitlines()[0]) == text


@pytest.mark.parametrize(
    ("given", "name"),
    [("gbk", "GB18030"), ("GB2312", "GB18030"), ("cp950", "Big5"), ("utf-8-sig", "UTF-8")],
)
def test_a_name_stands_for_its_family(given: str, name: str) -> None:
    assert find_encoding("很好".encode("gbk"), given=given).name == name


@pytest.mark.parametrize(
    "given", ["", "klingon", "base64", "utf-32", "rot13", "unicode_escape", "cp037"]
)
def test_what_reads_no_lines_is_refused(given: str) -> None:
    with pytest.raises(DataError, match="cannot be used; name one of utf-8, gb18030"):
        find_encoding(b"a", given=given)


def test_a_mark_is_not_contradicted() -> None:
    with pytest.raises(DataError, match="begins with the mark of UTF-8"):
        find_encoding("\ufeff很好".encode(), given="gbk")
    assert find_encoding("\ufeff很好".encode(), given="utf-8").name == "UTF-8"


@pytest.mark.parametrize("text", ["搞不懂", "辛苦了!  都是英雄[抱抱]"])
def test_what_lies_between_two_encodings_is_asked(text: str) -> None:
    with pytest.raises(DataError, match="it may be GB18030 or Big5"):
        find_encoding(traditional(text).encode("big5"))


def test_a_line_of_utf_8_is_no_gb18030() -> None:
    encoding = find_encoding("送货很快，包装也结实\n".encode("gbk") * 3)
    assert encoding.name == "GB18030"
    with pytest.raises(UnicodeDecodeError):
        encoding.decode("送货很快，包装也结实\n".encode())


def test_utf_16_that_lost_a_byte_is_no_text_from_there_on() -> None:
    lines = "很好吃\r\n太难吃了\r\n".encode("utf-16-le")
    encoding = find_encoding(b"\xff\xfe" + lines)
    with pytest.raises(UnicodeDecodeError):
        encoding.decode(lines[1:-1])
