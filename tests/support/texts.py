"""Texts to classify: labelled, blank and hostile ones."""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

TEXT = "房间很好"


# White space, invisible characters, and nothing but markup.
BLANK_TEXTS = (
    *("", " ", "\n", "\u3000\t", "\x00", "\u200b", "&nbsp;", "<br>", "&lt;br&gt;"),
    *("https://t.cn/x", "<p class='a'>&#8203; @user </p>", "\u2800\u3164\U000e0100", "\u034f\x7f"),
    *(
        "<!DOCTYPE html><time data-x1='a'></time>",
        "<o:p>&zwnj;</o:p><br/ >",
        "<?xml version='1.0'?>",
    ),
)


# Any code point, lone surrogates included, mixed with characters common in web text.
ANY_TEXT = st.text(
    st.one_of(
        st.characters(codec=None),
        st.sampled_from(
            "好不吃這㎏…！？，ＡａÄ́̂가ᄀ\u1161\u11a8😂👍🏻\u200d❤️[]<>@#&;:/.wht泪\ud800\u3000\n"
        ),
    )
)

_SUBJECTS = [
    "房间",
    "早餐",
    "手机",
    "电影",
    "服务",
    "客服",
    "物流",
    "酒店",
    "屏幕",
    "味道",
    "老师",
    "这本书",
]


_PRAISE = ["很好", "非常满意", "太棒了", "特别喜欢", "真不错", "超出预期"]


_BLAME = ["很差", "非常失望", "太糟糕了", "特别讨厌", "真不好", "一塌糊涂"]


_FACTS = ["在三楼", "周三上午开始", "今天发布", "由两部分组成", "下个月更新", "位于市中心"]


def sentences() -> list[tuple[str, str]]:
    """Return 216 labelled sentences that a small network learns within seconds."""
    kinds = {"positive": _PRAISE, "negative": _BLAME, "neutral": _FACTS}
    return [
        (f"{subject}{end}", label)
        for label, ends in kinds.items()
        for subject, end in itertools.product(_SUBJECTS, ends)
    ]


def write_csv(path: Path, rows: Sequence[tuple[str, ...]], header: tuple[str, ...]) -> Path:
    """Write a CSV file and return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path
