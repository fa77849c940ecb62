"""The page's words: both languages say the same things, and files are read by the same lists."""

import re

from model.bulk import encodings, layout
from tests.support.repository import read

# Keys by their indentation, so that those inside a group count too.
KEY = re.compile(r"^( {2}| {4})(\w+):", re.MULTILINE)


def test_both_languages_have_the_same_words_in_the_same_order() -> None:
    english, chinese = (
        KEY.findall(read(f"service/web/page/{language}.js")) for language in ("en", "zh")
    )
    assert len(english) > 100
    assert english == chinese


def strings(path: str, start: str, end: str) -> list[str]:
    return re.findall('"([^"]+)"', read(path).split(start)[1].split(end)[0])


def test_the_page_and_the_command_line_know_the_same_characters_and_names() -> None:
    reader = "service/web/page/reader"
    common = strings(f"{reader}/encodings.js", "const COMMON", ");")
    assert frozenset("".join(common)) == encodings._COMMON
    words = strings(f"{reader}/layout.js", "\nconst TEXT_NAMES", "const ENGLISH")
    words += strings(f"{reader}/layout.js", "const NAME_WORDS", "];\nconst NAME_WORD ")
    assert tuple(words) == layout._NAME_WORDS
    simplified = strings(f"{reader}/layout.js", "const TRADITIONAL", "const TRADITIONAL_SIGN")
    assert str.maketrans(*simplified) == layout._SIMPLIFIED
    others = " ".join(strings(f"{reader}/layout.js", "const NAMES_OF_OTHERS", ").split"))
    assert set(others.split()) == layout._NAMES_OF_OTHERS
