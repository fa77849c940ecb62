"""From raw text to tokens: normalize, segment, mark stopwords.

Every token knows which code points of the original text it came from, even where normalization
changes lengths or removes markup. Training and serving read the same ``TextPipeline``; there is no
second tokenizer.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from model.errors import ConfigError
from model.text.normalization import normalize, normalize_text
from model.text.signs import EMOJI, EMOTICON, FACE_MARKS, FLAG, sign_name

SegmenterName = Literal["rjieba", "jieba"]

# The ideographs that jieba segments; each of the others is a token of its own.
CJK = "\u4e00-\u9fd5"
_OTHER_IDEOGRAPHS = "\u3400-\u4dbf\u9fd6-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

# Controls, what Unicode has programs ignore that cannot show it, and the blank of braille.
_INVISIBLE = (
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# Every element of HTML, those of former versions among them, and Word's paragraph.
_HTML_NAMES = (
    "a|abbr|acronym|address|applet|area|article|aside|audio|b|base|basefont|bdi|bdo|"
    "big|blink|blockquote|body|br|button|canvas|caption|center|cite|code|col|"
    "colgroup|data|datalist|dd|del|details|dfn|dialog|dir|div|dl|dt|em|embed|"
    "fieldset|figcaption|figure|font|footer|form|frame|frameset|h[1-6]|head|header|"
    "hgroup|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|listing|main|"
    "map|mark|marquee|math|menu|meta|meter|nav|nobr|noframes|noscript|o:p|object|ol|"
    "optgroup|option|output|p|param|picture|pre|progress|q|rb|rp|rt|rtc|ruby|s|"
    "samp|script|search|section|select|slot|small|source|span|strike|strong|style|"
    "sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|"
    "tr|track|tt|u|ul|var|video|wbr"
)
# A quoted value counts as one only before white space or the tag's end, so it can match in one way.
_HTML_ATTRIBUTE = (
    r"\s++[a-z@:_][a-z0-9:._-]*+"
    r"""(?:=(?:(?:"[^"<>]*+"|'[^'<>]*+')(?=\s|/?>)|[!-;=?-~]++))?"""
)

# Markup says nothing about sentiment, so it is tried before every other kind of token. Its patterns
# are narrow, since whatever they match is lost: an @name without a space or colon after it is read
# as words, and a URL stops at any mark that may have been full-width before normalization.
# Nothing can match in two ways, and nothing matched is tried again (`(?>...)`, `++`): otherwise a
# tag that never closes would take more than linear time.
_TOKEN = re.compile(
    rf"""
    (?P<markup>
        </?(?:{_HTML_NAMES})(?>(?:{_HTML_ATTRIBUTE}){{0,20}})\s*+/?\s*+>
      | <!--[^<>]{{2,302}}+(?<=--)> | <!doctype[^<>]{{0,200}}+> | <\?xml[^<>]{{0,200}}+>
      | (?:https?://|www\.)(?>(?:[$%&*+.:=?@\#~_-]*+[a-z0-9/]++)+)
      | @[a-z0-9_-]{{1,30}}+(?![\w-]) | @[\w-]{{1,30}}+(?=[\s:])
      | {_INVISIBLE}
    )
  | (?P<emoticon>{EMOTICON})
  | (?P<kaomoji>
        \((?=[^()\n]{{0,16}}[{FACE_MARKS}])[^()\d{CJK}\n]{{2,16}}+\)
      | (?<![a-z0-9_])(?>[t;][_.]{{1,3}}+[t;]|q[aw]q|orz)(?![a-z0-9_])
      | \^[_.o]{{0,3}}+\^ | >[_.]{{1,3}}+< | -_{{1,3}}+- | =_{{1,3}}+= | <3(?!\d)
      | :-?[()](?!\w) | ;-?\)(?!\w) | :-[dp](?!\w)
    )
  | (?P<cjk>[{CJK}]+)
  | (?P<ideograph>[{_OTHER_IDEOGRAPHS}])
  | (?P<flag>{FLAG})
  | (?P<emoji>{EMOJI})
  | (?P<number>\d+(?:[.,:]\d+)*)
  | (?P<word>(?:(?![{CJK}{_OTHER_IDEOGRAPHS}])[^\W\d_])+(?:'[a-z]+)*)  # Latin, kana, Cyrillic
  | (?P<repeated>(?P<mark>[^\w\s])(?P=mark)*)                  # one mark, or a run of it
  | (?P<other>\S)
    """,
    re.VERBOSE,
)

_CHINESE = re.compile(f"[{CJK}{_OTHER_IDEOGRAPHS}]")
_CJK_RUN = re.compile(f"[{CJK}]+")

# Repeating these marks carries feeling, so a run of them keeps a doubled form; any other run of a
# mark counts once.
_EXPRESSIVE_MARKS = "!?~."


class Token(NamedTuple):
    """A piece of a text.

    ``offset`` and ``length`` count code points of the original text; ``normalized`` is the form
    looked up in the vocabulary; ``dropped`` marks a stopword, which the network never sees.
    Tokens from one code point share its offset.
    """

    normalized: str
    offset: int
    length: int
    dropped: bool


class Segmenter:
    """Cuts a run of CJK characters into words.

    ``jieba`` is the definition; ``rjieba``, its Rust port, is the fast path: the same words,
    without loading a dictionary or writing a cache file. Both keep ``user_words`` whole.
    """

    def __init__(self, name: SegmenterName = "rjieba", user_words: Iterable[str] = ()) -> None:
        self._cut: Callable[[str], Iterable[str]]
        if name == "rjieba":
            import rjieba  # here, since loading its dictionary takes 0.1 s

            self._cut = rjieba.cut  # shares the dictionary that the package loads anyway
            if words := list(user_words):
                fast = rjieba.Jieba()
                for word in words:
                    fast.add_word(word, fast.suggest_freq(word), None)
                self._cut = fast.cut
            return
        import jieba  # here, since import and first use take a second and write a cache

        definition = jieba.Tokenizer()
        definition.initialize()
        for word in user_words:
            definition.add_word(word, definition.suggest_freq(word))
        self._cut = definition.lcut

    def cut(self, run: str) -> list[str]:
        """Return the words of ``run``; concatenated, they are ``run``."""
        return list(self._cut(run))


class TextPipeline:
    """Turns a text into tokens.

    ``stopwords`` are normalized words; ``user_words`` are a user dictionary of Chinese words.

    Raises:
        ConfigError: a user word contains other characters, which segmentation never sees.
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
        """Return the words that stand in for a token without a vector of its own.

        For an emoji these are its Chinese name in Unicode's CLDR, for an emoticon its name, and
        for any other form the form itself.

        >>> TextPipeline().spelled("👎")
        ['拇指', '向下']
        """
        name = sign_name(form)
        if name is None:
            return [form]
        return self.forms(name)

    def tokenize(self, text: str) -> list[Token]:
        """Return the tokens of any string, in order; markup and white space make none.

        >>> [token.normalized for token in TextPipeline().tokenize("菜不好吃!!!")]
        ['菜', '不', '好吃', '!!']
        """
        normalized = normalize(text)
        span, stopwords = normalized.span, self.stopwords
        tokens: list[Token] = []
        for start, end, forms in self._pieces(normalized.text):
            if len(forms) == 1:
                (form,) = forms
                tokens.append(Token(form, *span(start, end), form in stopwords))
                continue
            for word in forms:
                end = start + len(word)
                tokens.append(Token(word, *span(start, end), word in stopwords))
                start = end
        return tokens

    def forms(self, text: str) -> list[str]:
        """Return the normalized forms of the tokens of any string, in a third of the time."""
        forms: list[str] = []
        for _, _, some in self._pieces(normalize_text(text)):
            forms += some
        return forms

    def _pieces(self, normalized: str) -> Iterator[tuple[int, int, list[str]]]:
        """Yield start, end and tokens of each piece: words one after the other, or one token."""
        cut = self._segmenter.cut
        for match in _TOKEN.finditer(normalized):
            kind = match.lastgroup
            if kind == "cjk":
                yield match.start(), match.end(), cut(match.group())
            elif kind != "markup":
                yield match.start(), match.end(), [_token_form(kind, match.group())]


def is_blank(text: str) -> bool:
    """Return whether a text has no token: only white space, markup or invisible characters.

    >>> is_blank("<br>&nbsp;"), is_blank("！")
    (True, False)
    """
    return all(match.lastgroup == "markup" for match in _TOKEN.finditer(normalize_text(text)))


def _token_form(kind: str | None, matched: str) -> str:
    if kind == "emoji":
        return matched[0]  # without skin tones, variation selectors and joined parts
    if kind == "repeated":
        return matched[:2] if matched[0] in _EXPRESSIVE_MARKS else matched[0]
    return matched


def is_cjk(word: str) -> bool:
    """Return whether a normalized word consists only of characters that jieba segments."""
    return _CJK_RUN.fullmatch(word) is not None


def contains_chinese(form: str) -> bool:
    """Return whether a token is a Chinese word or an emoticon with a Chinese name."""
    return _CHINESE.search(form) is not None


def is_punctuation(token: Token) -> bool:
    """Return whether the token is a punctuation mark or a run of one; a face like :) is not.

    >>> [is_punctuation(token) for token in TextPipeline().tokenize("好！！～:)👍")]
    [False, True, True, False, False]
    """
    form = token.normalized
    # Sm and Sk: ~ + = < > ^ and the like.
    category = unicodedata.category(form[0])
    return len(set(form)) == 1 and (category[0] == "P" or category in {"Sk", "Sm"})
