"""The vocabulary: the words that the network has a vector for, and their ids."""

from collections import Counter
from collections.abc import Callable, Sequence

PADDING = "<pad>"
UNKNOWN = "<unk>"
PADDING_ID = 0
UNKNOWN_ID = 1


class Vocabulary:
    """Words and their ids. A word's id is its line number in ``vocab.txt``, from 0."""

    def __init__(self, words: Sequence[str]) -> None:
        """``words[0]`` is the padding and ``words[1]`` the unknown word.

        Raises:
            ValueError: a word is a duplicate, or the first two are not the special ones.
        """
        if list(words[:2]) != [PADDING, UNKNOWN]:
            raise ValueError(f"the first two words must be {PADDING} and {UNKNOWN}")
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        # Returns the id of a word, or ``None``; called for thousands of them in a second.
        self.get: Callable[[str], int | None] = self._ids.get
        if len(self._ids) != len(self.words):
            raise ValueError("duplicate word")

    @classmethod
    def build(cls, counts: Counter[str], size: int, minimum_count: int) -> "Vocabulary":
        """Return the vocabulary of the ``size`` most frequent words and characters.

        A character counts as often as it occurs in longer words, or alone if that is more often,
        so the characters that rare words back off to come before the rare words. Ties are broken by
        the word, so the same counts give the same vocabulary.
        """
        characters: Counter[str] = Counter()
        for word, count in counts.items():
            if len(word) > 1:
                for character in word:
                    characters[character] += count
        totals = Counter(counts)
        for character, count in characters.items():
            totals[character] = max(totals[character], count)
        ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
        kept = [word for word, count in ranked if count >= minimum_count]
        return cls([PADDING, UNKNOWN, *kept[: size - 2]])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def ids(self, word: str) -> tuple[int, ...]:
        """Return the id of ``word`` or, if the vocabulary lacks it, those of its characters."""
        known = self.get(word)
        if known is not None:
            return (known,)
        return tuple(self._ids.get(character, UNKNOWN_ID) for character in word)
