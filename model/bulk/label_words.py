"""What people write in a column of labels: words, 1 and 0, stars; and which label each means."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from gettext import gettext as _
from typing import Final

from model.config import LABELS, NEUTRAL
from model.errors import DataError, one_line

_POSITIVE, _NEGATIVE = LABELS.index("positive"), LABELS.index("negative")
_WORDS: Final[Mapping[int, tuple[str, ...]]] = {
    _POSITIVE: (
        *("positive", "pos", "p", "good", "正面", "正向", "正性", "正", "积极", "好评", "好"),
        *("褒义", "褒", "满意", "肯定", "赞"),
    ),
    NEUTRAL: ("neutral", "neu", "中性", "中立", "中评", "中等", "中", "一般", "客观", "无情感"),
    _NEGATIVE: (
        *("negative", "neg", "n", "bad", "负面", "负向", "负性", "负", "消极", "差评", "差"),
        *("贬义", "贬", "不满意", "否定", "踩"),
    ),
}
_LABEL_OF_WORD: Final = {word: label for label, words in _WORDS.items() for word in words}
_STAR_ENDINGS: Final = ("stars", "star", "颗星", "星级", "星", "分", "★", "⭐")
_STARS: Final = {"一": 1.0, "二": 2.0, "两": 2.0, "三": 3.0, "四": 4.0, "五": 5.0}
_NUMBER: Final = re.compile(r"[+-]?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+")  # 001 is an identifier
_LEAST_STARS, _MAX_STARS = 0.5, 5.0
# What tells stars from classes that are numbered: these have no such high number.
_SURELY_STARS = 4.0
# Labels that a message lists.
_SHOWN = 20
# What ``--labels`` says of rows to leave out.
_LEFT_OUT = ""


@dataclass(frozen=True)
class LabelWords:
    """The values in a column of labels.

    Attributes:
        counts: how many rows have each; spellings that differ by case, width or blanks are one.
        labels: the index of the label that each means, ``None`` if it is to be left out; a value
            that is not known is missing.
        two_classes: whether the values are such that none could mean neutral: 1 and 0.
    """

    counts: Mapping[str, int]
    labels: Mapping[str, int | None]
    two_classes: bool = False

    @property
    def unknown(self) -> list[str]:
        """The values that are not known, the most frequent first."""
        return [value for value in self.counts if value not in self.labels]

    def listed(self) -> str:
        """Return all values with their counts and meanings, in a line."""
        parts = [self._described(value) for value in list(self.counts)[:_SHOWN]]
        if len(self.counts) > _SHOWN:
            parts.append(_("and {more:,} more").format(more=len(self.counts) - _SHOWN))
        return _(", ").join(parts)

    def _described(self, value: str) -> str:
        shown, count = one_line(value), self.counts[value]
        if value not in self.labels:
            return _("{value} ({count:,})").format(value=shown, count=count)
        label = self.labels[value]
        if label is None:
            return _("{value} ({count:,}) is left out").format(value=shown, count=count)
        return _("{value} ({count:,}) is {label}").format(
            value=shown, count=count, label=_(LABELS[label])
        )


def folded(value: str) -> str:
    """Return a value such that spellings of one label are equal.

    >>> [folded(value) for value in (" Positive", "１", "1.0", "五星", "4 stars")]
    ['positive', '1', '1', '5', '4']
    """
    plain = unicodedata.normalize("NFKC", value).strip().casefold()
    number = plain
    for ending in _STAR_ENDINGS:
        if number.endswith(ending) and number != ending:
            number = number.removesuffix(ending).strip()
            break
    if number in _STARS and number != plain:
        return f"{_STARS[number]:g}"
    if _NUMBER.fullmatch(number):
        return f"{float(number):g}"
    if plain and not plain.strip("★⭐☆"):  # drawn, as in ★★★★☆
        return str(len(plain.rstrip("☆")))
    return plain


def understand(values: Iterable[str], given: Mapping[str, int | None] | None = None) -> LabelWords:
    """Return what the values of a column mean, as far as it is known.

    Numbers mean something together only: 1 and 0, or 1, 0 and -1, or stars up to 5, of which 4 or
    more must occur, since 1, 2 and 3 may be numbered classes.

    Args:
        values: of all rows, without blank ones.
        given: the label that some values mean, ``None`` for those to be left out.
    """
    spelled: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for value in values:
        counts[spelled.setdefault(folded(value), value.strip())] += 1
    said = {folded(value): label for value, label in (given or {}).items()}
    labels: dict[str, int | None] = {}
    numbers: dict[float, str] = {}
    for key, value in spelled.items():
        if key in said:
            labels[value] = said[key]
        elif key in _LABEL_OF_WORD:
            labels[value] = _LABEL_OF_WORD[key]
        elif (number := _number(key)) is not None:
            numbers[number] = value
    meaning = _meaning_of_numbers(set(numbers))
    labels |= {value: meaning[number] for number, value in numbers.items() if number in meaning}
    two_classes = numbers.keys() == {0.0, 1.0} and NEUTRAL not in labels.values()
    return LabelWords(dict(counts.most_common()), labels, two_classes)


def parse_labels(definition: str) -> dict[str, int | None]:
    """Return the labels that a list such as ``好评=positive,差评=negative`` defines.

    A value with nothing behind the sign is to be left out.

    Raises:
        DataError: it is not such a list.
    """
    labels: dict[str, int | None] = {}
    for part in definition.replace("，", ",").split(","):
        value, sign, meaning = part.rpartition("=")
        name = folded(meaning)
        if not sign or not value.strip() or name not in (*_LABEL_OF_WORD, _LEFT_OUT):
            raise DataError(
                _(
                    "{part} does not say what a label means; write 好评=positive,差评=negative, "
                    "with positive, neutral, negative or nothing behind each ="
                ).format(part=one_line(part))
            )
        labels[value.strip()] = _LABEL_OF_WORD.get(name)
    return labels


def _number(key: str) -> float | None:
    return float(key) if _NUMBER.fullmatch(key) else None


def _meaning_of_numbers(numbers: set[float]) -> dict[float, int]:
    if numbers <= {-1.0, 0.0, 1.0} and -1.0 in numbers and len(numbers) > 1:
        return {-1.0: _NEGATIVE, 0.0: NEUTRAL, 1.0: _POSITIVE}
    if numbers == {0.0, 1.0}:
        return {0.0: _NEGATIVE, 1.0: _POSITIVE}
    stars = all(_LEAST_STARS <= number <= _MAX_STARS for number in numbers)
    if stars and max(numbers, default=0.0) >= _SURELY_STARS:
        return {number: _of_stars(number) for number in numbers}
    return {}


def _of_stars(stars: float) -> int:
    if stars <= 2:
        return _NEGATIVE
    return _POSITIVE if stars >= _SURELY_STARS else NEUTRAL
