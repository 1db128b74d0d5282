"""Finds conversations that contain a piece of a benchmark: 13 consecutive words, as GPT-3's authors counted overlap.

Source: Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C (13-grams; https://arxiv.org/abs/2005.14165).
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from selection_platform.text.conversation import Message

WORDS = 13
ANCHOR = 6
STEP = WORDS - ANCHOR + 1
"""Every run of WORDS words contains a whole run of ANCHOR words that starts at a multiple of STEP."""

_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(code if _WORD.match(chr(code)) else ord(" ") for code in bytes(range(128)).lower()) + bytes(128)
"""Replacement of each ASCII character: its lower case if it is part of a word, else a blank."""


class ContaminationFilter:
    """Finds runs of `WORDS` words that a conversation shares with given texts.

    Words are runs of letters, digits and underscores in lower case; punctuation and spacing do not matter.

    Texts with fewer than `WORDS` words never match.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # Hashes instead of words save a few hundred megabytes. A chance collision of 64-bit hashes is negligible.
        self._runs: set[int] = set()
        self._anchors: set[int] = set()
        for text in texts:
            words = split_words(text)
            self._runs.update(hashes(words, WORDS, 1))
            if len(words) >= WORDS:
                self._anchors.update(hashes(words, ANCHOR, 1))

    def overlaps(self, messages: Sequence[Message]) -> bool:
        """Whether one of the messages shares a run of words with one of the texts."""
        return bool(self._runs) and any(self._overlaps(split_words(message.content)) for message in messages)

    def _overlaps(self, words: list[bytes]) -> bool:
        # Most conversations share no anchor, and to check every STEP-th run is several times faster than all runs.
        if self._anchors.isdisjoint(hashes(words, ANCHOR, STEP)):
            return False
        return not self._runs.isdisjoint(hashes(words, WORDS, 1))


def split_words(text: str) -> list[bytes]:
    """The words of a text in UTF-8, in lower case and without punctuation."""
    if text.isascii():
        # The same words as below, several times as fast.
        return text.encode().translate(_ASCII_WORDS).split()
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]


def hashes(words: list[bytes], length: int, step: int) -> Iterator[int]:
    """The hash of each run of `length` words that starts at a multiple of `step`. Processes hash differently."""
    # A Python loop would take longer than the rest of this module.
    return map(hash, zip(*(words[first::step] for first in range(length)), strict=False))
