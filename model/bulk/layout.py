"""How rows are laid out: the delimiter, whether there is a header, which column holds the texts.

Found in the first rows, by the shape of their cells and by names that people give to columns. What
cannot be told is refused with the choice there is, since a wrong guess answers what is no text.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from gettext import gettext as _
from statistics import mean, median
from typing import Final, NamedTuple

from model.bulk.table import ReadOptions, unique_index
from model.errors import DataError, one_line

DELIMITERS: Final = (",", "\t", ";", "|")
Cells = Sequence[str]

_DEFAULT: Final = "text"
_TEXT_NAMES: Final = ("评论", "内容", "文本", "评价", "留言", "反馈", "弹幕", "正文")
# Names are compared in simplified characters.
_SIMPLIFIED: Final = str.maketrans(
    "評論內價饋彈編號標籤類別時間戶顧買稱評數級點贊商產鋪區鏈備註來題發佈訂單語",
    "评论内价馈弹编号标签类别时间户顾买称评数级点赞商产铺区链备注来题发布订单语",
)
_ENGLISH_TEXT_NAMES: Final = ("text", "review", "comment", "content")
# What else the names of Chinese columns are made of, longer words first.
_NAME_WORDS: Final = (
    *_TEXT_NAMES,
    *("编号", "序号", "标签", "类别", "分类", "类型", "时间", "日期", "用户", "顾客", "客户"),
    *("买家", "名称", "姓名", "昵称", "名", "评分", "分数", "星级", "等级", "情感", "极性", "倾向"),
    *("点赞", "数量", "次数", "数", "商品", "产品", "店铺", "品牌", "城市", "地区", "链接", "备注"),
    *(
        "来源",
        "原文",
        "文字",
        "文章",
        "短评",
        "描述",
        "回答",
        "回复",
        "标题",
        "发布",
        "微博",
        "商家",
    ),
    *("订单", "的", "号", "者", "人", "句子", "语句", "意见", "建议"),
)
_NAME: Final = re.compile(rf"(?:{'|'.join(_NAME_WORDS)}|[\w\s()（）\[\].:：/#-])++", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ .()/#-]*+")
_NAMES_OF_OTHERS: Final = frozenset(
    {"id", "label", "no", "index", "date", "time", "name", "user", "title", "score", "rating"}
    | {"stars", "star", "sentiment", "polarity", "class", "category", "url", "source", "n"}
)
_NUMBER: Final = re.compile(r"[\d\s.,:/+%￥¥$€年月日时分秒点TZ-]++")
_LINK: Final = re.compile(r"(?:https?://|www\.)\S++")
_HAN: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_DELIMITER: Final = re.compile(r"[,\t;|]")
_LETTER: Final = re.compile(r"[^\W\d_]")
_SENTENCE_SIGN: Final = re.compile(r"[，。！？；、,!?;…～~]")
_MAX_NAME: Final = 40
# From so many Chinese characters on, a first cell is a text and no name.
_LONG: Final = 15
# Means of characters in cells: what a column needs to hold the texts without a name that says so,
# and how many times the next one's to be chosen before it.
_LEAST_LENGTH: Final = 4
_CLEARLY_LONGER: Final = 2
# The rank of a name that is one of those for texts, with nothing else in it.
_WHOLE_NAME: Final = 3
# Of the first rows, those that must have as many fields as the header.
_LEAST_ALIKE: Final = 0.4
_LEAST_ALIKE_WITHOUT_HEADER: Final = 0.9


class Layout(NamedTuple):
    """What was found: ``column`` is an index."""

    header: bool
    names: tuple[str, ...]
    column: int


def find_delimiter(rows_by_delimiter: Mapping[str, Sequence[Cells]]) -> str:
    """Return the delimiter that divides most rows into as many fields as the first row.

    Args:
        rows_by_delimiter: the first rows as each possible delimiter divides them, the most likely
            one first.

    Raises:
        DataError: the first row has several fields and most others one, or the other way round.
    """
    shares: dict[str, float] = {}
    undivided = None
    for delimiter, rows in rows_by_delimiter.items():
        if not rows or len(rows[0]) < 2:
            continue
        share = mean(len(row) == len(rows[0]) for row in rows)
        if mean(len(row) == 1 for row in rows) >= share:
            undivided = delimiter
        else:
            shares[delimiter] = share
    best = [delimiter for delimiter, share in shares.items() if share == max(shares.values())]
    if len(best) == 1:
        return best[0]
    if best:
        raise DataError(
            _(
                "its rows may be divided by {best!r} or by {best_2!r}; name one by --delimiter"
            ).format(best=best[0], best_2=best[1])
        )
    if undivided:
        raise DataError(
            _(
                "the first row is divided by {undivided!r} and most others are not; name the "
                "character between fields by --delimiter, or the file *.txt if every line is a "
                "text"
            ).format(undivided=undivided)
        )
    for delimiter, rows in rows_by_delimiter.items():
        if usual_width(rows[1:]) > 1:
            raise DataError(
                _(
                    "the first row is not divided by {delimiter!r} as most others are; mend it, "
                    "or name the character between fields by --delimiter"
                ).format(delimiter=delimiter)
            )
    return next(iter(rows_by_delimiter))


def usual_width(rows: Sequence[Cells]) -> int:
    """Return the number of fields that at least half of some rows have; 0 if there is none."""
    widths = Counter(map(len, rows)).most_common(1)
    return widths[0][0] if widths and widths[0][1] * 2 >= len(rows) else 0


def find_layout(rows: Sequence[Cells], options: ReadOptions) -> Layout:
    """Return whether the first of these rows is a header, the names, and the column of the texts.

    Raises:
        DataError: that cannot be told, or there is no such column.
    """
    first = rows[0]
    names = tuple(cell.strip() for cell in first)
    header = options.header
    if header is None and options.column is not None:
        wanted = options.column.strip().casefold()
        header = any(name.casefold() == wanted for name in names) or None
    if header is None:
        header = _has_header(rows)
    if not header:
        width = usual_width(rows)
        if mean(len(row) == width for row in rows) < _LEAST_ALIKE_WITHOUT_HEADER:
            raise DataError(
                _(
                    "its rows differ in their numbers of fields, and no header says which is "
                    "right; add a header, or name the character between fields by --delimiter"
                )
            )
        names = tuple(str(number) for number in range(1, width + 1))
    others = rows[1 if header else 0 :]
    alike = [row for row in others if len(row) == len(names)]
    if len(alike) < len(others) * _LEAST_ALIKE:
        raise DataError(
            _(
                "its first row has {names} fields and only {alike} of {others} others have as "
                "many; mend it, or name the character between fields by --delimiter"
            ).format(names=len(names), alike=len(alike), others=len(others))
        )
    if options.column is not None:
        return Layout(header, names, unique_index(names, options.column))
    column = text_column(names, alike, named=header)
    return Layout(header, names, unique_index(names, names[column]))


def text_column(names: Sequence[str], rows: Sequence[Cells], *, named: bool = True) -> int:
    """Return the index of the column that holds the texts.

    Args:
        names: of all columns.
        rows: the first rows, without a header.
        named: whether the names are those of a file, rather than numbers.

    Raises:
        DataError: that cannot be told.
    """
    lengths = _text_lengths(len(names), rows)
    textual = [index for index, length in enumerate(lengths) if length]
    ranks = [_rank(name) if named else 0 for name in names]
    called = [index for index in textual if ranks[index]]
    if len(rows) == 1 and not named and len(textual) > 1:
        textual = []  # one row is no sign that what divides it is a delimiter
    if not textual:  # nothing but numbers, blank cells, or no rows: the name decides
        called = [index for index, rank in enumerate(ranks) if rank]
    best = [index for index in called if ranks[index] == max(ranks[i] for i in called)]
    chosen = _clearly_longest(best, lengths)
    if chosen is None and not called:
        longest = _clearly_longest(textual, lengths)
        if longest is not None and (len(names) == 1 or lengths[longest] >= _LEAST_LENGTH):
            chosen = longest
    if chosen is None:
        raise DataError(_which_column(names, rows, named=named))
    return chosen


def is_name_of_texts(name: str) -> bool:
    """Return whether a name contains one of the words for texts."""
    return bool(_rank(name))


def is_plain_header(line: str) -> bool:
    """Return whether a line by itself can only be a header.

    One cell is a name of texts and nothing else, or every cell is surely a name.

    >>> [is_plain_header(line) for line in ("id,评论内容", "text,分", "评论不错,推荐", "评论")]
    [True, True, False, True]
    """
    cells = [cell.strip(' "') for cell in _DELIMITER.split(line.strip())]
    if any(_is_sentence(cell) or len(cell) > _MAX_NAME for cell in cells):
        return False
    if any(_rank(cell) >= _WHOLE_NAME for cell in cells):
        return True
    names = all(map(_is_surely_name, filter(None, cells)))
    return len(cells) > 1 and names and any(map(is_name_of_texts, cells))


def _rank(name: str) -> int:
    """Return 0 for a name that says nothing of texts, and more the less else it says."""
    folded = _folded(name)
    if folded == _DEFAULT:
        return 4
    if folded in _ENGLISH_TEXT_NAMES or folded in _TEXT_NAMES:
        return _WHOLE_NAME
    if folded.endswith((*_TEXT_NAMES, *_ENGLISH_TEXT_NAMES)):
        return 2
    return int(any(word in folded for word in (*_TEXT_NAMES, *_ENGLISH_TEXT_NAMES)))


def _clearly_longest(columns: Sequence[int], lengths: Sequence[float]) -> int | None:
    ordered = sorted(columns, key=lambda index: -lengths[index])
    if len(ordered) > 1 and lengths[ordered[0]] < lengths[ordered[1]] * _CLEARLY_LONGER:
        return None
    return ordered[0] if ordered else None


def _text_lengths(width: int, rows: Sequence[Cells]) -> list[float]:
    """Return the mean number of Chinese characters in a row's cell of each column.

    It is 0 for a column that holds no texts. Letters count if no column has Chinese.
    """
    columns = [
        [row[index].strip() for row in rows if index < len(row) and row[index].strip()]
        for index in range(width)
    ]
    for pattern in (_HAN, _LETTER):
        lengths = []
        for cells in columns:
            texts = [len(pattern.findall(cell)) for cell in cells if not _is_value(cell)]
            lengths.append(sum(texts) / len(rows) if len(texts) * 2 >= len(cells) > 0 else 0.0)
        if any(lengths):
            return lengths
    return [0.0] * width


def _is_value(cell: str) -> bool:
    """Return whether a cell holds a number, a date or an address rather than words."""
    return is_number(cell) or bool(_LINK.fullmatch(cell))


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number, a date or a time."""
    return bool(_NUMBER.fullmatch(cell)) and any(sign.isdecimal() for sign in cell)


def _has_header(rows: Sequence[Cells]) -> bool:
    """Return whether the first row names the columns.

    Raises:
        DataError: it may be a short text as well as a name.
    """
    first = [cell.strip() for cell in rows[0]]
    columns = [
        [row[index].strip() for row in rows[1:] if index < len(row) and row[index].strip()]
        for index in range(len(first))
    ]
    only_names = not rows[1:] and all(map(_IDENTIFIER.fullmatch, first))
    if only_names or any(map(_is_surely_name, first)):
        return True
    for_it = against_it = 0
    for cell, below in zip(first, columns, strict=True):
        if cell and below and all(map(is_number, below)):
            against_it += is_number(cell)
            for_it += not is_number(cell)
    if for_it != against_it:
        return for_it > against_it
    if any(len(_HAN.findall(cell)) >= _LONG or _is_sentence(cell) for cell in first):
        return False
    for cell, below in zip(first, columns, strict=True):
        if _IDENTIFIER.fullmatch(cell) and below and mean(map(_has_han, below)) > 1 / 2:
            return True
    for cell, below in zip(first, columns, strict=True):
        lengths = [len(_HAN.findall(each)) for each in below]
        if lengths and 0 < len(cell) * _CLEARLY_LONGER < median(lengths):
            raise DataError(
                _(
                    "its first row may be a header or a text: {cell}; --column names the column "
                    "of the texts, --no-header says that there is no header"
                ).format(cell=one_line(cell))
            )
    return False


def _is_surely_name(cell: str) -> bool:
    if not cell or len(cell) > _MAX_NAME or is_number(cell):
        return False
    folded = _folded(cell)
    if _has_han(cell):
        return bool(_NAME.fullmatch(folded))
    if not _IDENTIFIER.fullmatch(cell) or len(cell.split()) > 3:
        return False
    return folded in _NAMES_OF_OTHERS or any(word in folded for word in _ENGLISH_TEXT_NAMES)


def _folded(name: str) -> str:
    return name.strip().casefold().translate(_SIMPLIFIED)


def _has_han(cell: str) -> bool:
    return bool(_HAN.search(cell))


def _is_sentence(cell: str) -> bool:
    return _has_han(cell) and bool(_SENTENCE_SIGN.search(cell))


def _which_column(names: Sequence[str], rows: Sequence[Cells], *, named: bool) -> str:
    """Return the question which column holds the texts."""
    if named:
        choice = ", ".join(names)
    else:
        first = rows[0] if rows else ()
        choice = ", ".join(f"{number} ({cell})" for number, cell in enumerate(first, start=1))
    return _(
        "it cannot be told which column holds the texts; --column names one of {choice}"
    ).format(choice=one_line(choice))
