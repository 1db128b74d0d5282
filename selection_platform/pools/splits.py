"""Which split a conversation belongs to."""

import hashlib
from collections.abc import Sequence

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.text.conversation import Message

POOL, HELD_OUT, BASE_MODEL = "pool", "held_out", "base_model"


def split_of(messages: Sequence[Message], settings: PoolSettings) -> str:
    """The split of a conversation, by a hash of its first user message.

    So a growing pool never moves a row to another split, and conversations with the same first message, such as parts
    of one chat or several answers to one question, are never in different splits.
    """
    first = next(message.content for message in messages if message.role == "user")
    digest = hashlib.sha256(first.encode("utf-8", "surrogatepass")).digest()
    return split_at(int.from_bytes(digest[:8], "big") / 2**64, settings)


def split_at(position: float, settings: PoolSettings) -> str:
    """The split at a position in [0, 1)."""
    if position >= 1 - settings.held_out:
        return HELD_OUT
    if position >= 1 - settings.held_out - settings.base_model:
        return BASE_MODEL
    return POOL
