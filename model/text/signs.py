"""Emoji, emoticons and faces drawn with characters: how they are found and what they say."""

import re

import emoji

FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_PICTURE = "[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_PICTURE_TAIL = "[\ufe0f\U0001f3fb-\U0001f3ff]*+"
_KEYCAP = "[0-9#*]\ufe0f?\u20e3"
EMOJI = rf"(?>{_KEYCAP}|{_PICTURE}{_PICTURE_TAIL}(?:\u200d{_PICTURE}{_PICTURE_TAIL})*)"

# An emoticon of Weibo, WeChat or Bilibili: [泪], [doge], [小电视_赞].
EMOTICON = r"\[[^\W\d_]{1,8}+(?:_[^\W\d_]{1,8}+)?\]"

# Faces drawn with characters contain these, and hardly anything else in brackets does.
FACE_MARKS = r"\^ω▽∀∇□д益皿﹏︿≧≦•´`╯╰∩△⊙ㅂ﹃┯╥๑ゝ∠"

_SIGN = re.compile(f"{FLAG}|{_PICTURE}")


def sign_name(form: str) -> str | None:
    """Return what an emoji or emoticon stands for, in words, or ``None`` for any other form.

    >>> sign_name("[心碎]"), sign_name("💔"), sign_name("心")
    ('心碎', '心碎', None)
    """
    if form[0] == "[" and len(form) > 1:
        return form[1:-1].replace("_", " ")
    if not _SIGN.match(form):
        return None
    name = emoji.demojize(form, delimiters=("", ""), language="zh")
    return None if name == form else name
