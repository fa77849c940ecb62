"""From raw text to tokens: normalise, segment, mark stopwords.

Every token knows which code points of the original text it came from, through normalisation
forms that change lengths, removed markup and traditional characters alike. Training and serving
call the same ``TextPipeline.tokenize``; there is no second tokenizer.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5
from typing import Literal, NamedTuple

import emoji
import opencc

from model.errors import ConfigError

SegmenterName = Literal["rjieba", "jieba"]

# The ideographs that jieba's own dictionary cuts; each of the others is a token of its own.
CJK = "\u4e00-\u9fd5"
_OTHER_IDEOGRAPHS = "\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

_EMOJI = "[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_EMOJI_TAIL = "[\ufe0f\U0001f3fb-\U0001f3ff]*+"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_KEYCAP = "[0-9#*]\ufe0f?\u20e3"
EMOJI = rf"(?>{_KEYCAP}|{_EMOJI}{_EMOJI_TAIL}(?:\u200d{_EMOJI}{_EMOJI_TAIL})*)"

# An emoticon of Weibo, WeChat or Bilibili: [泪], [doge], [小电视_赞].
EMOTICON = r"\[[^\W\d_]{1,8}+(?:_[^\W\d_]{1,8}+)?\]"

# A character reference of HTML; no name in its list is longer. It may be none, as &x; is.
REFERENCE = r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}+|\#(?:[0-9]{1,8}+|[xX][0-9a-fA-F]{1,8}+));"

# What faces drawn with characters are made of, and hardly anything else in brackets.
_FACE_MARKS = r"\^ω▽∀∇□д益皿﹏︿≧≦•´`╯╰∩△⊙ㅂ﹃┯╥๑ゝ∠"

_INVISIBLE = (
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f"
    "\ufeff]"
)

_HTML_NAMES = (
    "a|abbr|article|aside|audio|b|big|blockquote|body|br|button|center|code|dd|del|div|dl|dt|em|"
    "figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|"
    "mark|meta|nav|ol|option|p|pre|s|script|section|select|small|source|span|strike|strong|style|"
    "sub|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|video"
)
# A value in quotes is read as one only where it ends there: what follows tells its ways apart.
_HTML_ATTRIBUTE = (
    r"\s++[a-z][a-z-]*+"
    r"""(?:=(?:(?:"[^"<>]*+"|'[^'<>]*+')(?=\s|/?>)|[!-;=?-~]++))?"""
)

# Markup says nothing about sentiment; the alternatives stand before every other kind of token.
# They are narrow, since whatever they match is lost: a name without a space or colon after it is
# read as words, and a URL ends where punctuation or a full-width form (normalised by now) could.
# None can be matched in two ways, and what is matched is never tried again in another (`(?>...)`,
# `++`): else a tag that never closes would take longer than its length.
_TOKEN = re.compile(
    rf"""
    (?P<markup>
        </?(?:{_HTML_NAMES})(?>(?:{_HTML_ATTRIBUTE}){{0,20}})\s*+/?>
      | <!--[^<>]{{2,302}}+(?<=--)>
      | (?:https?://|www\.)(?>(?:[$%&*+.:=?@\#~_-]*+[a-z0-9/]++)+)
      | @[a-z0-9_-]{{1,30}}+(?![\w-]) | @[\w-]{{1,30}}+(?=[\s:])
      | {_INVISIBLE}
    )
  | (?P<emoticon>{EMOTICON})
  | (?P<kaomoji>
        \((?=[^()\n]{{0,16}}[{_FACE_MARKS}])[^()\d{CJK}\n]{{2,16}}+\)
      | (?<![a-z0-9_])(?>[t;][_.]{{1,3}}+[t;]|q[aw]q|orz)(?![a-z0-9_])
      | \^[_.o]{{0,3}}+\^ | >[_.]{{1,3}}+< | -_{{1,3}}+- | =_{{1,3}}+= | <3(?!\d)
      | :-?[()](?!\w) | ;-?\)(?!\w) | :-[dp](?!\w)
    )
  | (?P<cjk>[{CJK}]+)
  | (?P<ideograph>[{_OTHER_IDEOGRAPHS}])
  | (?P<flag>{_FLAG})
  | (?P<emoji>{EMOJI})
  | (?P<number>\d+(?:[.,:]\d+)*)
  | (?P<word>(?:(?![{CJK}{_OTHER_IDEOGRAPHS}])[^\W\d_])+(?:'[a-z]+)*)  # Latin, kana, Cyrillic
  | (?P<repeated>(?P<mark>[^\w\s])(?P=mark)*)                  # one mark, or a run of it
  | (?P<other>\S)
    """,
    re.VERBOSE,
)

_REFERENCE = re.compile(REFERENCE)
_REFERENCE_OR_CHARACTER = re.compile(rf"{REFERENCE}|.", re.DOTALL)

_SIGN = re.compile(f"{_FLAG}|{_EMOJI}")
_CHINESE = re.compile(f"[{CJK}{_OTHER_IDEOGRAPHS}]")
_CJK_RUN = re.compile(f"[{CJK}]+")

# Marks whose repetition carries feeling keep a doubled form; every other run counts once.
_EXPRESSIVE_MARKS = "!?~."


class Token(NamedTuple):
    """A piece of a text.

    ``offset`` and ``length`` are code points of the original text; ``normalized`` is the form
    that the vocabulary is asked for; ``dropped`` marks a stopword, which the network never sees.
    Tokens that one code point expanded to share its offset.
    """

    normalized: str
    offset: int
    length: int
    dropped: bool


@dataclass(frozen=True, slots=True)
class Normalized:
    """A normalised text and, for each of its characters, the code points it came from.

    ``starts`` and ``ends`` are ``None`` where every character stands where it stood.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Offset and length in the original text of the non-empty slice ``text[start:end]``."""
        if self.starts is None or self.ends is None:
            return start, end - start
        return self.starts[start], self.ends[end - 1] - self.starts[start]


# The longest that normalisation may make of one code point: all units and abbreviations fit. One
# Arabic ligature becomes 18 letters, which would let a text outgrow its own limit.
_MAX_FORM_LENGTH = 4
_MAX_CACHED_FORMS = 65_536


class _CharacterForms(dict[int, str]):
    """Code point to its NFKC form in lower case; common ones are worked out once."""

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", character).lower())
        if 0xD800 <= code_point <= 0xDFFF:  # a lone surrogate is no character at all
            form = "\ufffd"
        elif len(form) > _MAX_FORM_LENGTH:
            form = character
        if len(self) < _MAX_CACHED_FORMS:
            self[code_point] = form
        return form


_CHARACTER_FORMS = _CharacterForms()

# Unicode's stream-safe bound: more marks on one character would let the canonical reordering of
# normalisation go quadratic.
_MAX_MARKS = 30


def _attaches(character: str) -> bool:
    """Whether normalisation may compose the character with the one before it."""
    first = _CHARACTER_FORMS[ord(character)][0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


@lru_cache(maxsize=1)
def _simplifier() -> Callable[[str], str]:
    converter: Callable[[str], str] = opencc.OpenCC("t2s").convert
    return converter


def _simplify(text: str) -> str:
    """Traditional to simplified characters, of the same length, so that offsets hold."""
    convert = _simplifier()
    simplified = convert(text)
    if len(simplified) == len(text):
        return simplified
    return "".join(form if len(form := convert(char)) == 1 else char for char in text)


def _referenced(piece: str) -> str | None:
    """What a character reference stands for; ``None`` where the piece is none that HTML knows."""
    if piece.startswith("&#"):
        # One that stands for no character leaves white space.
        return html.unescape(piece).replace("\ufffd", "") or " "
    return html5.get(piece[1:])


def _decoded(text: str) -> tuple[str, list[int], list[int]]:
    """A text whose character references are replaced, once, and ``Normalized``'s two sequences."""
    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _REFERENCE_OR_CHARACTER.finditer(text):
        piece, (start, end) = match[0], match.span()
        form = _referenced(piece)
        if form is None:
            forms.append(piece)
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
        else:
            forms.append(form)
            starts.extend([start] * len(form))
            ends.extend([end] * len(form))
    return "".join(forms), starts, ends


def normalize(text: str) -> Normalized:
    """Character references decoded, NFKC, lower case, traditional to simplified.

    Any string is accepted, lone surrogates included.

    >>> normalize("ＡＰＰ很&#26834;…").text
    'app很棒...'
    """
    if not _REFERENCE.search(text):
        return _folded(text)
    decoded, starts, ends = _decoded(text)
    folded = _folded(decoded)
    count = len(folded.text)
    return Normalized(
        folded.text,
        [starts[start] for start in folded.starts or range(count)],
        [ends[end - 1] for end in folded.ends or range(1, count + 1)],
    )


def _folded(text: str) -> Normalized:
    """As ``normalize``, by characters alone."""
    mapped = text.translate(_CHARACTER_FORMS)
    # No form is empty, so an unchanged length means that each character kept its place.
    if len(mapped) == len(text) and unicodedata.is_normalized("NFC", mapped):
        return Normalized(_simplify(mapped))

    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and end - start <= _MAX_MARKS and _attaches(text[end]):
            continue
        # A character with the marks behind it, which may become one.
        composed = unicodedata.normalize("NFC", text[start:end].translate(_CHARACTER_FORMS))
        form = unicodedata.normalize("NFC", composed.translate(_CHARACTER_FORMS))
        forms.append(form)
        starts.extend([start] * len(form))
        ends.extend([end] * len(form))
        start = end
    return Normalized(_simplify("".join(forms)), starts, ends)


class Segmenter:
    """Cuts a run of CJK characters into words.

    ``jieba`` is the definition and ``rjieba``, its Rust port, the fast path: the same words, no
    dictionary load and no cache file. ``user_words`` are kept whole by both.
    """

    def __init__(self, name: SegmenterName = "rjieba", user_words: Iterable[str] = ()) -> None:
        self._cut: Callable[[str], Iterable[str]]
        if name == "rjieba":
            import rjieba  # its dictionary takes a tenth of a second: only whoever segments pays

            self._cut = rjieba.cut  # by the one dictionary that the package loads anyway
            if words := list(user_words):
                fast = rjieba.Jieba()
                for word in words:
                    fast.add_word(word, fast.suggest_freq(word), None)
                self._cut = fast.cut
            return
        # Its import and first use take a second and write a cache: only whoever asks pays.
        import jieba

        definition = jieba.Tokenizer()
        definition.initialize()
        for word in user_words:
            definition.add_word(word, definition.suggest_freq(word))
        self._cut = definition.lcut

    def cut(self, run: str) -> list[str]:
        """The words of ``run``, whose concatenation is ``run``."""
        return list(self._cut(run))


class TextPipeline:
    """Turns a text into tokens; what it needs to do so is the whole text configuration.

    ``stopwords`` are normalised words; ``user_words`` a user dictionary of Chinese words.

    Raises:
        ConfigError: a user word has other characters, which segmentation never sees.
    """

    def __init__(
        self,
        stopwords: Iterable[str] = (),
        user_words: Iterable[str] = (),
        segmenter: SegmenterName = "rjieba",
    ) -> None:
        self.stopwords = frozenset(stopwords)
        words = [normalize(word).text for word in user_words]
        for word in words:
            if not is_cjk(word):
                raise ConfigError(f"the user word {word!r} is not made of Chinese characters alone")
        self._segmenter = Segmenter(segmenter, words)

    def spelled(self, form: str) -> list[str]:
        """The words that a token without a vector of its own is read by.

        An emoji is read by what Unicode's CLDR calls it in Chinese and an emoticon by its name;
        any other form by itself.

        >>> TextPipeline().spelled("👎")
        ['拇指', '向下']
        """
        name = sign_name(form)
        if name is None:
            return [form]
        return [token.normalized for token in self.tokenize(name)]

    def tokenize(self, text: str) -> list[Token]:
        """The tokens of any string, in order; markup and white space make none.

        >>> [token.normalized for token in TextPipeline().tokenize("菜不好吃!!!")]
        ['菜', '不', '好吃', '!!']
        """
        normalized = normalize(text)
        span, stopwords = normalized.span, self.stopwords
        tokens: list[Token] = []
        for match in _TOKEN.finditer(normalized.text):
            kind = match.lastgroup
            start, end = match.span()
            if kind == "markup":
                continue
            if kind == "cjk":
                for word in self._segmenter.cut(match.group()):
                    end = start + len(word)
                    tokens.append(Token(word, *span(start, end), word in stopwords))
                    start = end
            else:
                form = _token_form(kind, match.group())
                tokens.append(Token(form, *span(start, end), form in stopwords))
        return tokens


def is_blank(text: str) -> bool:
    """Whether a text leaves nothing to read: white space, markup, invisible characters, or none.

    >>> is_blank("<br>&nbsp;"), is_blank("！")
    (True, False)
    """
    return all(match.lastgroup == "markup" for match in _TOKEN.finditer(normalize(text).text))


def sign_name(form: str) -> str | None:
    """What the form of an emoji or of an emoticon stands for, in words; ``None`` of any other.

    >>> sign_name("[心碎]"), sign_name("💔"), sign_name("心")
    ('心碎', '心碎', None)
    """
    if form[0] == "[" and len(form) > 1:
        return form[1:-1].replace("_", " ")
    if not _SIGN.match(form):
        return None
    name = emoji.demojize(form, delimiters=("", ""), language="zh")
    return None if name == form else name


def _token_form(kind: str | None, matched: str) -> str:
    if kind == "emoji":
        return matched[0]  # without skin tones, variation selectors and joined parts
    if kind == "repeated":
        return matched[:2] if matched[0] in _EXPRESSIVE_MARKS else matched[0]
    return matched


def is_cjk(word: str) -> bool:
    """Whether a normalised word is of the characters that segmentation sees, and of no others."""
    return _CJK_RUN.fullmatch(word) is not None


def contains_chinese(token: Token) -> bool:
    """Whether the token is a word of Chinese characters or an emoticon named by them."""
    return _CHINESE.search(token.normalized) is not None


# Words that a maintained stopword list holds and that a classifier is worse off without: they carry
# sentiment, or turn it round (dropping them would make 吃 of 不好吃), or tell who speaks of what.
# Grouped by what they do; bench/stopwords.py measures what each group is worth.
KEPT_WORDS = {
    "negation": (
        "不 不独 不惟 不外乎 若非 不仅 不但 不光 不单 不只 不尽 不尽然 不得 不怕 不成 不拘 "
        "不料 不是 不比 不然 不至于 不如 不妨 不管 不论 不问 不若 不特 非 非但 非徒 非特 非独 "
        "无 无论 没奈何 莫不然 莫如 莫若 别 别管 别说 别是 否则 与否 毋宁 无宁 岂但 难道说 零 "
        "除非 能否"
    ),
    "degree": (
        "很 极了 最 更 多 多么 好 还 也 都 较 较之 比 比及 过 甚至 甚至于 甚而 甚且 甚或 尽 "
        "越是 只 只有 只要 只限 才 就 就是 就是了 些 一些 有些 点 大 小 多少 许多 几 一般 "
        "一样 这么 那么 这么些 那么些 这么点儿 这样 那样 全部 一切 凡是 光 光是 再 又 仍 仍旧 "
        "般的 似的 像 如同"
    ),
    "contrast": (
        "但 但是 但凡 然而 不过 却 可 可是 虽 虽则 虽然 虽说 尽管 尽管如此 固然 反而 反之 "
        "反过来 反过来说 恰恰相反 而 而是 而且 而已 并且 并 只是 即使 即便 即令 即若 即或 "
        "哪怕 纵 纵令 纵使 纵然 就算 还是 要不 要不是 要不然 怎奈 既 既然 宁 宁可 宁愿 宁肯 "
        "何况 况且 尚且 犹且 犹自 相对而言 诚然 除了 除外"
    ),
    "amounts": "0 1 2 3 4 5 6 7 8 9 一 二 三 四 五 六 七 八 九 分",
    "clause boundary": ", ; 。",
    "condition and wish": (
        "倘 倘使 倘或 倘然 设使 设或 设若 若果 如若 若夫 只怕 如 如果 要是 假如 假若 假使 "
        "倘若 若 若是 万一 要 望 能 可以 会 得 得了 请 叫 让 给 被 使 使得 该 就要 还要 为了 "
        "以免 省得 所幸"
    ),
    "question": (
        "吗 呢 么 什么 为什么 为何 何 何以 如何 怎 怎么 怎么办 怎么样 怎样 谁 哪 哪里 哪儿 "
        "哪个 几时 何时 多少 咋 啥 谁知 谁料 孰知 孰料 ?"
    ),
    "feeling and tone": (
        "! ~ : ( ) < > 顺 吧 吧哒 啊 呀 嘛 啦 哇 哦 哟 哎 哎呀 哎哟 唉 哼 哼唷 哈 哈哈 呵 "
        "呵呵 嘻 嘿 嘿嘿 嗯 呜 呜呼 呕 呸 啐 嘘 吓 喂 喔唷 咦 呃 咳 嗳 乌乎 贼死 罢了 也罢 "
        "也好 好 的确 当然 果然 果真 着呢 矣 哉 叮咚 啪达 ︿"
    ),
    "particle": "的 地 之 所 者 们 等 等等 之类 似的 般的",
    "aspect and direction": "了 着 过 来 起 去 到 上 下 出来",
    "being and having": "是 有 为 正是 作为 在于",
    "person": (
        "我 你 他 她 它 您 俺 咱 咱们 我们 你们 他们 她们 它们 自己 大家 别人 人家 本人 人 人们 "
        "对方 各位 自身 其 其他 其它 他人 某 某某 某个 某些 彼此"
    ),
    "demonstrative": (
        "这 那 这个 那个 这些 那些 这里 那里 这边 那边 这次 此次 那时 此 此时 一个 个 一种 各 "
        "各种 各个 每 任何 所有 第 儿 这儿 那儿"
    ),
    "verb": "说 用 看 做 打 拿 开始 借 靠 称 冲 赶 待 受到 来自 以为 还有 结果",
}


def default_stopwords() -> frozenset[str]:
    """The maintained ``stopwordsiso`` list for Chinese, normalised, less ``KEPT_WORDS``."""
    import stopwordsiso  # training only: an artifact ships the list in force

    listed = {normalize(word).text for word in stopwordsiso.stopwords("zh")}
    kept = {normalize(word).text for words in KEPT_WORDS.values() for word in words.split()}
    return frozenset(listed - kept)
