"""Finds conversations that are nearly the same as an earlier one, with MinHash over runs of words.

Source: Broder 1997, "On the resemblance and containment of documents"; runs of five words and about 0.8 are usual for
web text (Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better",
https://arxiv.org/abs/2107.06499; FineWeb, https://arxiv.org/abs/2406.17557).
"""

from collections.abc import Iterable, Sequence

# A compiled package without stubs.
from rensa import RMinHashDeduplicator  # pyright: ignore[reportAttributeAccessIssue]

from selection_platform.pools.contamination import split_words

WORDS = 5
PERMUTATIONS = 128
"""The error of an estimated similarity exceeds about 1 / sqrt(128), or 0.09, in one of three pairs."""


class NearDuplicates:
    """Finds conversations that are nearly the same as an earlier one. It uses about 1.7 KB for each other one.

    Similarity is the Jaccard similarity of the sets of runs of `WORDS` words. It is estimated, so a pair near the
    threshold can be missed, or found by mistake. Case and punctuation do not matter.
    """

    def __init__(self, threshold: float) -> None:
        self._index = RMinHashDeduplicator(threshold=threshold, num_perm=PERMUTATIONS, use_lsh=True)
        self._added = 0

    def first_of_each(self, conversations: Iterable[Sequence[str]]) -> list[bool]:
        """Whether each conversation differs from all earlier ones.

        Args:
            conversations: the texts of each conversation's messages.
        """
        pairs = [(str(self._added + place), _runs(texts)) for place, texts in enumerate(conversations)]
        self._added += len(pairs)
        return self._index.add_pairs(pairs)


def _runs(texts: Sequence[str]) -> list[bytes]:
    words = [word for text in texts for word in split_words(text)]
    runs = list(map(b" ".join, zip(*(words[first:] for first in range(WORDS)), strict=False)))
    return runs or [b" ".join(words)]
