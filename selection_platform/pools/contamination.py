"""Which conversations hold a piece of a benchmark: 13 words in a row, as GPT-3's authors counted overlap.

Source: Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C (13-grams; https://arxiv.org/abs/2005.14165).
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from selection_platform.text.conversation import Message

WORDS = 13
ANCHOR = 6
STEP = WORDS - ANCHOR + 1
"""A run of WORDS words wholly contains a run of ANCHOR words that starts at a multiple of STEP, wherever it starts."""

_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(code if _WORD.match(chr(code)) else ord(" ") for code in bytes(range(128)).lower()) + bytes(128)
"""For each ASCII character what stands for it among words: itself in lower case, or a blank."""


class ContaminationFilter:
    """Finds runs of `WORDS` words that a conversation shares with given texts.

    Words are runs of letters, digits and underscores in lower case; punctuation and spacing do not matter.

    Texts of fewer than `WORDS` words can never be found.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # Hashes, not words: a few hundred megabytes less. Two runs share a 64-bit hash by chance about never.
        self._runs: set[int] = set()
        self._anchors: set[int] = set()
        for text in texts:
            words = split_words(text)
            self._runs.update(_hashes(words, WORDS, 1))
            if len(words) >= WORDS:
                self._anchors.update(_hashes(words, ANCHOR, 1))

    def overlaps(self, messages: Sequence[Message]) -> bool:
        """Whether one of the messages shares a run of words with one of the texts."""
        return bool(self._runs) and any(self._found_in(split_words(message.content)) for message in messages)

    def _found_in(self, words: list[bytes]) -> bool:
        # Most conversations share no anchor, and looking at every STEP-th is several times faster than at all runs.
        if self._anchors.isdisjoint(_hashes(words, ANCHOR, STEP)):
            return False
        return not self._runs.isdisjoint(_hashes(words, WORDS, 1))


def split_words(text: str) -> list[bytes]:
    """The words of a text in UTF-8, in lower case and without punctuation."""
    if text.isascii():
        # The same words as below, several times as fast.
        return text.encode().translate(_ASCII_WORDS).split()
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]


def _hashes(words: list[bytes], length: int, step: int) -> Iterator[int]:
    """The hash of each run of `length` words that starts at a multiple of `step`."""
    # No loop of Python's: it would take longer than all else of this module.
    return map(hash, zip(*(words[first::step] for first in range(length)), strict=False))
