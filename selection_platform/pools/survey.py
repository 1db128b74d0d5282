"""A first look at a source: the form of its rows, how many would be kept, and how long they are."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.filters import detect_language
from selection_platform.pools.near_duplicates import NearDuplicates
from selection_platform.pools.pool import PoolReport, write_pool
from selection_platform.pools.raw_pool import RawPoolReport, write_raw_pool
from selection_platform.pools.shards import read_rows
from selection_platform.text.conversation import Message, to_messages

NEARLY = 0.8
SHOWN = 3
LANGUAGES_OF = 1000
"""Number of conversations whose language is detected. This takes longer than everything else."""

CountTokens = Callable[[Sequence[Message]], int]
"""The tokens of a conversation."""


@dataclass(frozen=True)
class Survey:
    """Properties of the first rows of a source. Arrays have one entry per conversation that would be kept.

    Attributes:
        raw: report of reading the rows.
        is_whole: whether the source has no more rows.
        pool: report of filtering them.
        turns: pairs of user and assistant message.
        characters: characters of all messages together.
        tokens: tokens of the conversation, rendered for training; None without a tokenizer.
        near_duplicates: number of conversations that are nearly the same as an earlier one.
        languages: share of each language of the first user messages, the most frequent first.
        shown: a few conversations.
    """

    raw: RawPoolReport
    is_whole: bool
    pool: PoolReport
    turns: np.ndarray
    characters: np.ndarray
    tokens: np.ndarray | None
    near_duplicates: int
    languages: dict[str, float]
    shown: list[list[Message]]


def survey(settings: PoolSettings, rows: int, count_tokens: CountTokens | None = None) -> Survey:
    """Inspect the first rows of a source.

    Args:
        settings: settings of a pool with this source.
        rows: how many rows to inspect.
        count_tokens: counts tokens for the model that is to be trained.

    Raises:
        SourceError: the source cannot be read, or is empty.
        UnknownForm: the form of the rows cannot be recognised.
        EmptyPool: none of them would be kept.
        BadRow: a row cannot be read and the settings say stop.
    """
    with TemporaryDirectory(prefix="selection-platform-") as name:
        raw = write_raw_pool(settings, Path(name) / "raw_pool", most_rows=rows)
        pool = write_pool(settings, Path(name) / "raw_pool", [], Path(name) / "pool")
        kept = [(row["turns"], row["characters"], _messages(row)) for row in read_rows(Path(name) / "pool")]
    conversations = [messages for _, _, messages in kept]
    draw = random.Random(0)
    return Survey(
        raw=raw,
        is_whole=raw.rows + sum(raw.bad_rows.values()) < rows,
        pool=pool,
        turns=np.array([turns for turns, _, _ in kept]),
        characters=np.array([characters for _, characters, _ in kept]),
        tokens=None if count_tokens is None else np.array([count_tokens(messages) for messages in conversations]),
        near_duplicates=_near_duplicates(conversations),
        languages=_languages(draw.sample(conversations, min(LANGUAGES_OF, len(conversations)))),
        shown=draw.sample(conversations, min(SHOWN, len(conversations))),
    )


def _messages(row: dict) -> list[Message]:
    return to_messages(row["messages"], row["untrained"])


def _near_duplicates(conversations: Sequence[Sequence[Message]]) -> int:
    texts = [[message.content for message in messages] for messages in conversations]
    return NearDuplicates(NEARLY).first_of_each(texts).count(False)


def _languages(conversations: Sequence[Sequence[Message]]) -> dict[str, float]:
    counts = Counter(detect_language(messages) for messages in conversations)
    return {language: count / len(conversations) for language, count in counts.most_common()}
