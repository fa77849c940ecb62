"""Windows of ids: nothing is lost, nothing is cut where a sentence could end."""

from hypothesis import given
from hypothesis import strategies as st

from model.classifier import Classifier
from model.text.encoding import Encoder
from model.text.pipeline import TextPipeline
from model.text.vocabulary import PADDING, UNKNOWN, UNKNOWN_ID, Vocabulary
from tests.support.texts import ANY_TEXT

VOCABULARY = Vocabulary([PADDING, UNKNOWN, "好吃", "不", "菜", "。", ",", "好"])
ENCODER = Encoder(TextPipeline({"的", ","}), VOCABULARY, window=8)


def joined(text: str) -> list[int]:
    return [identifier for window in ENCODER.encode(text).windows for identifier in window]


def test_a_short_text_is_one_window_without_its_stopwords() -> None:
    encoding = ENCODER.encode("的菜，不好吃")
    assert encoding.windows == ((4, 3, 2),)
    assert (encoding.characters, encoding.tokens, encoding.unknown) == (6, 3, 0)


def test_unknown_words_are_counted_and_read_by_their_characters() -> None:
    encoding = ENCODER.encode("好菜式")
    assert joined("好菜式") == [7, 4, UNKNOWN_ID]
    assert encoding.unknown == 1


def test_a_long_text_is_read_in_windows_that_end_behind_sentences() -> None:
    text = "菜不好吃。菜不好吃。菜好吃。"
    assert [len(window) for window in ENCODER.encode(text).windows] == [8, 3]
    assert ENCODER.encode(text).windows[0][-1] == VOCABULARY.ids("。")[0]


def test_the_last_sentence_end_of_the_second_half_wins() -> None:
    # Sentences end after 2, 5, 7 and 9 ids; a window takes 8.
    encoding = ENCODER.encode("好。菜好。好。菜。菜菜菜")
    assert [len(window) for window in encoding.windows] == [7, 5]
    # The only end is after 2 ids, in the first half: a window of 8 whole tokens is better.
    assert [len(w) for w in ENCODER.encode("好。" + "菜好" * 5).windows] == [8, 4]


def test_without_a_sentence_end_a_window_ends_behind_a_token() -> None:
    encoding = ENCODER.encode("好吃" * 9)
    assert [len(window) for window in encoding.windows] == [8, 1]


def test_a_token_longer_than_a_window_is_read_in_several() -> None:
    encoding = ENCODER.encode("x" * 20)
    assert [len(window) for window in encoding.windows] == [8, 8, 4]


def test_stopwords_alone_are_read() -> None:
    encoding = ENCODER.encode("的，")
    assert encoding.tokens == 2
    assert encoding.windows == ((UNKNOWN_ID, 6),)


def test_markup_alone_is_one_unknown_word() -> None:
    assert ENCODER.encode("https://t.cn/x").windows == ((UNKNOWN_ID,),)


# As people use them most.
EMOJI = (
    "😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍🤩😘😗😚😙😋😛😜🤪😝🤑🤗🤭🤫🤔🤐🤨😐😑😶😏😒🙄😬🤥😌😔😪🤤😴😷🤒🤕🤢🤮🤧🥵🥶🥴😵🤯🤠🥳😎🤓🧐😕😟"
    "🙁☹😮😯😲😳🥺😦😧😨😰😥😢😭😱😖😣😞😓😩😫🥱😤😡😠🤬😈👿💀💩🤡👹👻👽🤖😺😻🙈💋💌💘💝💖💗💓💕💔❤🧡💛💚💙💜🖤💯💢💥💦💤👋👌✌🤞🤟"
    "🤙👈👉👆👇👍👎✊👊🤛👏🙌🙏💪👀👶👧👩👨🙅🙆🙋🤦🤷🐶🐱🐷🐮🐔🐂🌹🌸🌞🌙⭐🌟✨⚡🔥🌈☀❄🎂🍰🍺🍻🎉🎊🎁🏆🥇⚽🎵🎤📷📱💰💸📈📉🚀✈🚗🏠⏰✅❌❗❓"
    "⚠🆗♥"
)


def test_no_common_emoji_is_invisible_or_taken_for_another(shipped_classifier: Classifier) -> None:
    encoder = shipped_classifier.encoder
    read = {emoji: encoder.encode(emoji).windows for emoji in EMOJI}
    assert len(read) == len(EMOJI) > 150
    for emoji, (ids,) in read.items():
        assert set(ids) != {UNKNOWN_ID}, emoji
    assert len(set(read.values())) == len(EMOJI)


def test_an_emoji_is_read_by_its_name_and_a_bracket_by_its_own() -> None:
    words = ["拇指", "向下", "心", "碎", "赞", "❤"]
    vocabulary = Vocabulary([PADDING, UNKNOWN, *words])
    encoder = Encoder(TextPipeline(), vocabulary, window=8)

    def read(text: str) -> list[str]:
        (ids,) = encoder.encode(text).windows
        return [vocabulary.words[number] for number in ids]

    assert read("👎🏽") == ["拇指", "向下"]
    assert read("💔") == read("[心碎]") == ["心", "碎"]
    assert read("[心碎_赞]") == ["心", "碎", "赞"]
    assert read("❤️") == ["❤"]  # which the vocabulary has itself
    assert encoder.encode("👎💔❤️").unknown == 2


def test_an_emoji_alone_can_decide(shipped_classifier: Classifier) -> None:
    texts = ["刚到货", "刚到货🤮", "刚到货👎", "刚到货💔"]
    answers = {answer.probabilities for answer in shipped_classifier.predict(texts)}
    assert len(answers) == len(texts)


def test_chinese_is_told_from_digits_emoji_and_english() -> None:
    assert [ENCODER.encode(text).has_chinese for text in ("好", "[泪]", "123", "😂", "ok")] == [
        True,
        True,
        False,
        False,
        False,
    ]


@given(st.text(st.sampled_from("好吃不菜的，。！? abc12"), max_size=200))
def test_windows_together_are_the_whole_text(text: str) -> None:
    encoding = ENCODER.encode(text)
    whole = Encoder(ENCODER.pipeline, VOCABULARY, window=4096).encode(text)
    assert joined(text) == list(whole.windows[0])
    assert all(1 <= len(window) <= 8 for window in encoding.windows)


@given(ANY_TEXT)
def test_any_string_is_encoded_the_same_again_in_windows_that_fit(text: str) -> None:
    encoding = ENCODER.encode(text)
    assert encoding == ENCODER.encode(text)
    assert encoding.characters == len(text)
    assert all(0 < len(window) <= ENCODER.window for window in encoding.windows)
