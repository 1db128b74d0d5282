"""A conversation in normal form, and its identity.

Normal form: an optional system message, then user and assistant messages in turn, ending with an answer of the
assistant that is trained on.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast, get_args

import orjson

from selection_platform.errors import PlatformError

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


class Message(NamedTuple):
    """One message of a conversation.

    Attributes:
        role: who speaks.
        content: the text.
        trained: False for an answer that is only context: no model is fine-tuned on it or evaluated by it.
    """

    role: Role
    content: str
    trained: bool = True


class NotNormal(PlatformError):
    """A conversation that is not in normal form."""


def check_normal_form(messages: Sequence[Message]) -> None:
    """Raise NotNormal, with place and reason, unless the messages are in normal form."""
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    if not turns:
        raise NotNormal("no user message")
    for index, message in enumerate(turns):
        expected = "user" if index % 2 == 0 else "assistant"
        if message.role != expected:
            raise NotNormal(f"message {index + len(messages) - len(turns)} is {message.role}, expected {expected}")
    if turns[-1].role != "assistant":
        raise NotNormal("the last message is not from the assistant")
    if not turns[-1].trained:
        raise NotNormal("the last answer is not trained on")
    for index, message in enumerate(messages):
        if not message.trained and message.role != "assistant":
            raise NotNormal(f"message {index} is {message.role}; only answers can be marked as not trained on")


def sample_id(messages: Sequence[Message]) -> str:
    """The id of a conversation: a content hash of 32 hex digits, uniformly distributed.

    Two conversations have the same id if and only if (up to hash collisions) they have the same messages, and the same
    answers are trained on.
    """
    # An answer that is trained on has no mark, so ids are the same as in versions without untrained answers.
    parts = [[m.role, m.content] if m.trained else [m.role, m.content, False] for m in messages]
    try:
        text = orjson.dumps(parts)
    except orjson.JSONEncodeError:
        # A lone surrogate is valid in a JSON string, so it must be hashed.
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def to_messages(records: Sequence[dict[str, str]], untrained: Sequence[int] | None = None) -> list[Message]:
    """Messages from records of the warehouse or of Parquet files.

    Args:
        records: `{"role": ..., "content": ...}`.
        untrained: positions, from 0, of the answers that are not trained on; None if all are trained on.
    """
    places = frozenset(untrained or ())
    return [
        Message(cast(Role, record["role"]), record["content"], place not in places)
        for place, record in enumerate(records)
    ]


def to_records(messages: Sequence[Message]) -> tuple[list[dict[str, str]], list[int] | None]:
    """Records of messages for the warehouse or Parquet files. `to_messages` converts them back."""
    records = [{"role": message.role, "content": message.content} for message in messages]
    return records, untrained_places(messages)


def untrained_places(messages: Sequence[Message]) -> list[int] | None:
    """Positions, from 0, of the answers that are not trained on; None if all are trained on."""
    return [place for place, message in enumerate(messages) if not message.trained] or None
