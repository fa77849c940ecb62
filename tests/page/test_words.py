"""The page's words: both languages say the same things."""

import re

from tests.support.repository import read

# Keys by their indentation, so that those inside a group count too.
KEY = re.compile(r"^( {2}| {4})(\w+):", re.MULTILINE)


def test_both_languages_have_the_same_words_in_the_same_order() -> None:
    english, chinese = (
        KEY.findall(read(f"service/web/page/{language}.js")) for language in ("en", "zh")
    )
    assert len(english) > 100
    assert english == chinese
