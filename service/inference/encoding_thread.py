"""Turning texts into ids beside the event loop, clients in turn."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from model.classifier import Classifier
from model.engine_threads import lower_priority
from model.errors import TextError, TextLimitError
from model.text.encoding import Encoding
from service.inference.admission import Admission
from service.inference.client_locks import ClientLocks

# Up to this many characters are encoded in the event loop: that takes less than handing them to a
# thread and back costs under load. More could hold up the event loop.
_MAX_CHARACTERS_IN_LOOP = 500
# Texts of this many characters together, or one longer text, are encoded in one turn.
_MAX_CHARACTERS_PER_TURN = 2000
# Markup apart, a text has at least this many ids per character.
_MIN_IDS_PER_CHARACTER = 0.25

_Result = TypeVar("_Result")


class EncodingThread:
    """Encodes the texts of requests, long ones in a thread of its own.

    A client has one thing at a time in that thread, so that clients take turns.
    """

    def __init__(
        self, classifier: Classifier, admission: Admission, max_text_characters: int
    ) -> None:
        self._classifier = classifier
        self._admission = admission
        self._max_text_characters = max_text_characters
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, "encoding", lower_priority)
        self._locks = ClientLocks()

    async def encode(
        self, texts: Sequence[str], client: str, deadline: float = math.inf
    ) -> list[Encoding | TextError]:
        """Return the encoding of each text, or why it has none.

        Args:
            texts: those of a request; long ones are encoded in turn with others'.
            client: whose they are.
            deadline: when they must have been classified, by the event loop's clock.

        Raises:
            QueueFullError: they would take too long, by what is known of them so far.
        """
        left = self._characters(texts)
        if left <= _MAX_CHARACTERS_IN_LOOP:
            return self._encode_each(texts)
        encodings: list[Encoding | TextError] = []
        ids = 0
        for turn in _turns(texts):
            self._check_time(client, ids + left * _MIN_IDS_PER_CHARACTER, deadline)
            encoded = await self.run(client, partial(self._encode_each, turn))
            encodings += encoded
            left -= self._characters(turn)
            ids += sum(
                len(window)
                for encoding in encoded
                if isinstance(encoding, Encoding)
                for window in encoding.windows
            )
        self._check_time(client, ids, deadline)
        return encodings

    async def run(self, client: str, work: Callable[[], _Result]) -> _Result:
        """Return what ``work`` returns; drop it if nobody waits for it when its turn comes."""
        async with self._locks.of(client):
            return await self._loop.run_in_executor(self._executor, work)

    def close(self) -> None:
        """Drop what waits."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _check_time(self, client: str, ids: float, deadline: float) -> None:
        self._admission.check_time(client, ids, deadline - self._loop.time())

    def _characters(self, texts: Sequence[str]) -> int:
        """Count the characters that will be read: a text over its limit costs nothing."""
        return sum(len(text) for text in texts if len(text) <= self._max_text_characters)

    def _encode_each(self, texts: Sequence[str]) -> list[Encoding | TextError]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> Encoding | TextError:
        limit = self._max_text_characters
        if len(text) > limit:
            return TextLimitError(f"the text has {len(text)} characters; the limit is {limit}")
        try:
            return self._classifier.encode(text)
        except TextError as error:
            return error


def _turns(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts, in order, by what is encoded in one turn."""
    turn: list[str] = []
    characters = 0
    for text in texts:
        if turn and characters + len(text) > _MAX_CHARACTERS_PER_TURN:
            yield turn
            turn, characters = [], 0
        turn.append(text)
        characters += len(text)
    if turn:
        yield turn
