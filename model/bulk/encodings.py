"""The encoding of a file: its byte order mark, or what decodes and reads as Chinese."""

import codecs
from collections.abc import Sequence
from gettext import gettext as _
from typing import Final, NamedTuple

from model.errors import DataError, one_line

_UTF_8_MARK: Final = codecs.BOM_UTF8
# The 500 characters that the corpora use most, and their traditional forms.
_COMMON: Final = frozenset(
    "的不是一了有好我人很大就在都个这上到还以多也来要可没得中味家下能点时看吃小用么说食道去和"
    "你为新出天生年子感会后过面真比但次地心自分他们最发同果口国本太菜肉服前系日行想里错然意对"
    "常老方店高现那情觉而之公电度成实品机加外手务开全如其病餐唔作只间所特定非什价买事给起美入"
    "三于少等平又位水量知牛再着动学重物打经快理力东者样因主香安完喜期啊性业做月别合第正元市体"
    "明西已无股员些呢海己种回通友文女更当工部直相吧格今问酒长两法话超包金欢较算收例司哈型被信"
    "提装油差台师进影内应色身书每甜望配嘅推让左几份接房才清式候片原放名且医送便花流确板十住场"
    "持白头爱二利音关资辣客总车朋炎吗化先产及值单叫解门既近般评挺怎北活像从建万结整武士南题毒"
    "表排路保制质汉肺交气视把目效境商黑山料晚满调基网空数该受半与热增货此听足京走费级款星计至"
    "底状件线带早儿四她周卡男反鸡治拉难蛋民火死院需跟汁粉购微风饭速边或报强将代环科区光钱何传"
    "使观管五选鱼首鲜容米落课冠越干节消烧程见疫求沙茶告诊失并态找城低考牌张示各认汤记由妈游投"
    "任试控易华玩始脆字向布希精啦哪指似孩号未防世声待设酸达必咁预息置亿豆乐处球变支佢护续演炸"
    "复据肝适刚牙盘拿教注致类午眼麻功個這還來沒點時喫麼說説爲為會後過們發國裏錯對現覺電實機務"
    "開間價買給於動學經東樣業別體無員種當問長兩話歡較裝臺師進內應書讓幾醫確場頭愛關資總車嗎產"
    "單門評從萬結題質漢氣視滿調網數該與熱貨聽費級計狀線帶兒雞難購風飯邊報強將環區錢傳觀選魚鮮"
    "課幹節燒見診並態張認湯記媽遊試華號聲設達預億樂處變護續復據適剛盤類"
)
# Of the letters beyond ASCII. Chinese has 0.5 to 0.8 of them among the common characters; bytes
# read in a wrong encoding have less than 0.2 (tests/test_encodings.py).
_LEAST_COMMON_SHARE: Final = 0.25
# Of the lines that hold more than ASCII, those that must be UTF-8 for the file to be.
_LEAST_UTF_8_SHARE: Final = 0.5
# The share in the second best encoding, of that in the best, from which on neither is certain.
_CLOSE: Final = 0.75
# Of bytes, those that are zero in a text other than UTF-16 at most.
_MOST_ZEROS: Final = 0.1
# What every encoding must read as it is, since files are split at line feeds and delimiters.
_ASCII: Final = "\n" + "".join(map(chr, range(0x20, 0x5C))) + "\\n"
# Besides common characters and ASCII, what a Chinese text in UTF-16 is made of.
_PUNCTUATION: Final = (range(0x3000, 0x3040), range(0xFF00, 0xFFF0))
# Of a file's start, what suffices to tell UTF-16 without a mark.
_WIDE_SAMPLE: Final = 2**14
# Shifted by one byte, UTF-16 has line feeds and spaces in these blocks: Gurmukhi and Gujarati.
_SHIFTED: Final = range(0x0A00, 0x0B00)


class Encoding(NamedTuple):
    """An encoding: what messages call it, and the codec of Python that reads it."""

    name: str
    codec: str

    def decode(self, line: bytes) -> str:
        """Return the text of a line.

        Raises:
            UnicodeDecodeError: it is not in this encoding, or much rather in UTF-8.
        """
        text = line.decode(self.codec)
        if self.codec in _DOUBLE_BYTE and not text.isascii():
            _refuse_utf_8(line, self)
        if self.codec in _UTF_16 and any(ord(sign) in _SHIFTED for sign in text):
            raise UnicodeDecodeError(self.codec, line, 0, 1, "shifted by one byte")
        return text

    @property
    def mark(self) -> bytes:
        """The byte order mark; empty if the encoding has none."""
        try:
            return self.encode("\ufeff")
        except UnicodeEncodeError:
            return b""

    def encode(self, text: str) -> bytes:
        """Return the bytes of a text; characters that the encoding lacks raise an error."""
        return text.encode(self.codec)


UTF_8: Final = Encoding("UTF-8", "utf-8")
UTF_16_LE: Final = Encoding("UTF-16", "utf-16-le")
UTF_16_BE: Final = Encoding("UTF-16", "utf-16-be")
GB18030: Final = Encoding("GB18030", "gb18030")
# With Hong Kong's supplement, which Cantonese needs.
BIG5: Final = Encoding("Big5", "big5hkscs")
_DOUBLE_BYTE: Final = (GB18030.codec, BIG5.codec)
_UTF_16: Final = (UTF_16_LE.codec, UTF_16_BE.codec)
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, None),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, None),
    (_UTF_8_MARK, UTF_8),
    (codecs.BOM_UTF16_LE, UTF_16_LE),
    (codecs.BOM_UTF16_BE, UTF_16_BE),
    ("\ufeff".encode("gb18030"), GB18030),
)
_FAMILIES: Final = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), GB18030),
    **dict.fromkeys(("big5", "cp950", "big5hkscs"), BIG5),
    **dict.fromkeys(("utf-8", "utf-8-sig"), UTF_8),
}


def find_encoding(sample: bytes, whole: bool = True, given: str | None = None) -> Encoding:
    """Return the encoding of a file.

    Args:
        sample: its first bytes.
        whole: whether these are all; otherwise the last line may be cut off.
        given: the encoding as a user names it.

    Raises:
        DataError: there is no such encoding, or the file's mark is of another.
    """
    marked = next((found for mark, found in _MARKS if sample.startswith(mark)), UTF_8)
    if marked is None:
        raise DataError(_("it is UTF-32; save it as UTF-8"))
    has_mark = sample.startswith(tuple(mark for mark, _ in _MARKS))
    if given is not None:
        wanted = _named(given, sample)
        if has_mark and wanted != marked:
            raise DataError(
                _("it begins with the mark of {name}; --encoding {given} cannot be right").format(
                    name=marked.name, given=given
                )
            )
        return wanted
    if has_mark:
        return marked
    if wide := _unmarked_utf_16(sample):
        return wide
    lines = sample.split(b"\n")
    if not whole and len(lines) > 1:
        del lines[-1]
    return _by_lines([line for line in lines if not line.isascii()])


def check_readable(sample: bytes, encoding: Encoding) -> None:
    """Raise ``DataError`` if most lines of a file are not in the encoding that was found.

    UTF-8 is found where nothing else is, and then some of them may be ASCII all the same.
    """
    if encoding.codec in _UTF_16:
        return
    if sample.count(0) > len(sample) * _MOST_ZEROS:
        raise DataError(_("it is no text, or UTF-16 with a byte lost; save it as UTF-8"))
    lines = [line for line in sample.split(b"\n") if line.strip()]
    if sum(not _decodes(line, encoding) for line in lines) * 2 > len(lines):
        raise DataError(_("its encoding is none that is known; name it by --encoding"))


def _named(name: str, sample: bytes) -> Encoding:
    try:
        codec = codecs.lookup(name).name
        if codec in ("utf-16", *_UTF_16):
            return _utf_16_as_named(codec, sample)
        if _ASCII.encode().decode(codec) == _ASCII:
            return _FAMILIES.get(codec, Encoding(name.upper(), codec))
    except (LookupError, ValueError):
        pass
    raise DataError(
        _("--encoding {name} cannot be used; name one of utf-8, gb18030, big5, utf-16").format(
            name=one_line(name)
        )
    )


def _utf_16_as_named(codec: str, sample: bytes) -> Encoding:
    if codec == UTF_16_LE.codec:
        return UTF_16_LE
    if codec == UTF_16_BE.codec or sample.startswith(codecs.BOM_UTF16_BE):
        return UTF_16_BE
    return _unmarked_utf_16(sample) or UTF_16_LE


def _unmarked_utf_16(sample: bytes) -> Encoding | None:
    """Return the byte order of UTF-16 without a mark, if that is what it is."""
    start = sample[:_WIDE_SAMPLE]
    if 0 not in start:
        return None
    for encoding in (UTF_16_LE, UTF_16_BE):
        text = start[: len(start) // 2 * 2].decode(encoding.codec, errors="replace")
        if sum(map(_is_usual, text)) > len(text) / 2:
            return encoding
    return None


def _is_usual(sign: str) -> bool:
    return (
        sign in _COMMON
        or "\t" <= sign <= "~"
        or any(ord(sign) in punctuation for punctuation in _PUNCTUATION)
    )


def _by_lines(lines: Sequence[bytes]) -> Encoding:
    """Return the encoding of lines that all hold more than ASCII; UTF-8 if none is known.

    Raises:
        DataError: it may be one of two.
    """
    others = [line for line in lines if not _decodes(line, UTF_8)]
    if len(lines) - len(others) >= len(lines) * _LEAST_UTF_8_SHARE:
        return UTF_8
    scores = {}
    for encoding in (GB18030, BIG5):
        decoded = [line.decode(encoding.codec) for line in others if _decodes(line, encoding)]
        # A line that does not decode speaks against an encoding as much as one of rare characters.
        scores[encoding] = _common_share("".join(decoded)) * len(decoded) / len(others)
    best = max(scores, key=lambda encoding: scores[encoding])
    if scores[best] < _LEAST_COMMON_SHARE:
        return UTF_8
    if min(scores.values()) > scores[best] * _CLOSE:
        raise DataError(_("it may be GB18030 or Big5; name one of them by --encoding"))
    return best


def _decodes(line: bytes, encoding: Encoding) -> bool:
    try:
        line.decode(encoding.codec)
    except UnicodeDecodeError:
        return False
    return True


def _common_share(text: str) -> float:
    """Return the share of common Chinese characters in the letters beyond ASCII."""
    letters = [sign for sign in text if sign > "\x7f" and sign.isalpha()]
    return sum(sign in _COMMON for sign in letters) / len(letters) if letters else 0.0


def _refuse_utf_8(line: bytes, encoding: Encoding) -> None:
    """Raise if a line is UTF-8 with a character of three bytes, as hardly another text is."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return
    if max(text) > "\u07ff":
        raise UnicodeDecodeError(encoding.codec, line, 0, 1, "it is UTF-8")
