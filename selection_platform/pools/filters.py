"""Filters of conversations. Each returns the reason why it drops one."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.text.conversation import Message

DETECTED_CHARACTERS = 1000
"""The language of a longer message is detected from its beginning."""


def field_reason(record: dict[str, Any], settings: PoolSettings) -> str | None:
    """Why the raw fields of a row (`where`) drop it, or None. A missing field equals no value."""
    for field, wanted in settings.where.items():
        value = record.get(field)
        # True and 1 are equal in Python, but not in JSON.
        if field not in record or value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
            return f"{field} is not {wanted}"
    return None


def count_turns(messages: Sequence[Message]) -> int:
    """Pairs of user and assistant message."""
    return sum(message.role == "assistant" for message in messages)


def count_characters(messages: Sequence[Message]) -> int:
    """Characters of all messages together."""
    return sum(len(message.content) for message in messages)


def shape_reason(messages: Sequence[Message], settings: PoolSettings) -> str | None:
    """Why the roles or lengths of a conversation drop it, or None."""
    if settings.system == "drop_row" and messages[0].role == "system":
        return "has a system message"
    answers = [len(message.content) for message in messages if message.role == "assistant"]
    return (
        _range_reason(len(answers), settings.min_turns, settings.max_turns, "turns")
        or _range_reason(count_characters(messages), settings.min_characters, settings.max_characters, "characters")
        or _range_reason(min(answers), settings.min_answer_characters, None, "characters in an answer")
    )


def _range_reason(value: int, least: int | None, most: int | None, unit: str) -> str | None:
    if least is not None and value < least:
        return f"fewer than {least} {unit}"
    if most is not None and value > most:
        return f"more than {most} {unit}"
    return None


def language_reason(messages: Sequence[Message], language: str | None) -> str | None:
    """Why the language of the first user message drops a conversation, or None."""
    if language is None or detect_language(messages) == language:
        return None
    return f"language is not {language}"


def detect_language(messages: Sequence[Message]) -> str:
    """The language of the first user message, as an ISO 639-1 code."""
    first = next(message.content for message in messages if message.role == "user")
    return _classifier()(first[:DETECTED_CHARACTERS])[0]


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    # Imported here: it reads a model, which only pools with a language filter need.
    from py3langid import classify

    return classify
