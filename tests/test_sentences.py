"""Sentences: where they end, and that each is a slice of the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.text.sentences import split_sentences


def sentences(text: str) -> list[str]:
    return [text[offset : offset + length] for offset, length in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("房间很好。早餐太差！还来吗？", ["房间很好。", "早餐太差！", "还来吗？"]),
        ("我……不知道;好;", ["我……", "不知道;", "好;"]),
        ("第一行\r\n\r\n  第二行  \n", ["第一行", "第二行"]),
        ("太好了！！！?真的", ["太好了！！！?", "真的"]),
        ("房間乾淨｡服務好．ＧＯＯＤ！下次", ["房間乾淨｡", "服務好．", "ＧＯＯＤ！", "下次"]),
        ("评分3.5分，见app.cn.很好.不错", ["评分3.5分，见app.cn.很好.", "不错"]),
        ("评分３．５分，1;2;3。１．好", ["评分３．５分，1;2;3。", "１．好"]),
        ("见HTTP://a.cn/x?id=1;很好", ["见HTTP://a.cn/x?id=1;", "很好"]),
        ("好&nbsp;的？行", ["好&nbsp;的？", "行"]),
        ("好&exclamation;的&#22909;？行", ["好&exclamation;的&#22909;？", "行"]),
        # Quotations and brackets are whole; one that ends as a sentence does ends the one around.
        ("他说：“很好。我喜欢！”然后走了。", ["他说：“很好。我喜欢！”", "然后走了。"]),
        ("“太差了！”，他说。", ["“太差了！”，他说。"]),
        ("看《你好。再见？》吧！「行。」", ["看《你好。再见？》吧！", "「行。」"]),
        ("（房间很好。早餐也好）不错。", ["（房间很好。早餐也好）不错。"]),
        ("“没有关上的。引号", ["“没有关上的。", "引号"]),
        ('他来了。"你好。再见"她说。', ["他来了。", '"你好。再见"她说。']),
        ('5" 屏幕。好。7" 屏幕', ['5" 屏幕。', "好。", '7" 屏幕']),
        ("太差了:( 下次不来。还是算了:)", ["太差了:( 下次不来。", "还是算了:)"]),
        # What has no word belongs to the sentence before it, or to the first.
        ("太差了。😡😡下次不来👨‍👩‍👧。[泪]", ["太差了。😡😡", "下次不来👨‍👩‍👧。[泪]"]),
        ("好！[小电视_赞]不来", ["好！[小电视_赞]", "不来"]),
        ("太差了\n——\n😡\n不来", ["太差了\n——\n😡", "不来"]),
        ("！！\n好吃。", ["！！\n好吃。"]),
        ("😀", ["😀"]),
        ("！\n？ ", ["！\n？"]),
        (" \n\u3000", []),
    ],
)
def test_a_sentence_ends_where_a_reader_ends_it(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


PARTS = st.sampled_from('好app。！？；….\n\r “”「」（）"[泪]😡👍🏽\u200d&;3') | st.characters()


@given(st.lists(PARTS, max_size=60).map("".join))
def test_sentences_hold_everything_but_the_white_space_between_them(text: str) -> None:
    end = 0
    for offset, length in split_sentences(text):
        assert length > 0
        assert not text[end:offset].strip()
        sentence = text[offset : offset + length]
        assert sentence == sentence.strip()
        end = offset + length
    assert not text[end:].strip()
