"""Clauses: where a text is split if its tokens are too many to explain each."""

import pytest

from model.text.clauses import MAX_CLAUSE_TOKENS, split_clauses
from model.text.pipeline import TextPipeline, Token, is_punctuation


@pytest.fixture(scope="module")
def pipeline() -> TextPipeline:
    return TextPipeline()


def clauses(pipeline: TextPipeline, text: str, most: int = 100) -> list[str]:
    tokens = pipeline.tokenize(text)
    parts = split_clauses(text, tokens, most)
    assert [at for part in parts for at in part] == list(range(len(tokens)))

    def written(part: range) -> str:
        first, last = tokens[part.start], tokens[part.stop - 1]
        return text[first.offset : last.offset + last.length]

    return [written(part) for part in parts]


@pytest.mark.parametrize(
    "expected",
    [
        ["房间干净，", "服务也好，", "就是早餐太差！！！", "再也不来了"],
        ["他说：", "“不好！”", "然后走了。"],
        ["真的（很）好；", "（但是）贵……", "算了"],
        ["3.5分，", "不是1,000元。", "好:)"],
        ["……", "好"],
        ["好"],
        [],
    ],
)
def test_a_clause_ends_with_its_punctuation(pipeline: TextPipeline, expected: list[str]) -> None:
    assert clauses(pipeline, "".join(expected)) == expected


def test_a_clause_ends_at_the_end_of_a_line(pipeline: TextPipeline) -> None:
    assert clauses(pipeline, "优点\n便宜\r\n缺点 慢") == ["优点", "便宜", "缺点 慢"]


def test_a_clause_without_punctuation_ends_somewhere(pipeline: TextPipeline) -> None:
    text = "很 " * (2 * MAX_CLAUSE_TOKENS + 1)
    tokens = pipeline.tokenize(text)
    sizes = [len(part) for part in split_clauses(text, tokens, 100)]
    assert sizes == [MAX_CLAUSE_TOKENS, MAX_CLAUSE_TOKENS, 1]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 99])
def test_there_are_never_too_many(pipeline: TextPipeline, most: int) -> None:
    text = "好。" * 50 + "房间很好，早餐太差。" * 20 + "很 " * 300
    parts = clauses(pipeline, text, most)
    assert most / 3 <= len(parts) <= most


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        *((mark, True) for mark in (",", "。", "!!", "..", "~", "“", "、", "-", "=", "(")),
        *((form, False) for form in (":)", "^_^", "好", "👍", "♥", "[泪]", "5", "￥", "a")),
    ],
)
def test_punctuation_is_marks_and_no_faces(form: str, expected: bool) -> None:
    assert is_punctuation(Token(form, 0, 1, dropped=False)) is expected
