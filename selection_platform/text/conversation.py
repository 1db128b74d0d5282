"""A conversation in the platform's one normal form, and its identity.

Normal form: an optional system message, then user and assistant messages in turn, ending with the assistant.
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
    """One message of a conversation."""

    role: Role
    content: str


class NotNormal(PlatformError):
    """A conversation that is not in normal form."""


def check_normal_form(messages: Sequence[Message]) -> None:
    """Raise NotNormal, saying where and why, unless the messages are in normal form."""
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    if not turns:
        raise NotNormal("no user message")
    for index, message in enumerate(turns):
        expected = "user" if index % 2 == 0 else "assistant"
        if message.role != expected:
            raise NotNormal(f"message {index + len(messages) - len(turns)} is {message.role}, expected {expected}")
    if turns[-1].role != "assistant":
        raise NotNormal("the last message is not the assistant's")


def sample_id(messages: Sequence[Message]) -> str:
    """The content hash that names a conversation: 32 hex digits, uniformly distributed.

    Two conversations have the same id if and only if (up to hash collisions) they have the same messages.
    """
    pairs = [[message.role, message.content] for message in messages]
    try:
        text = orjson.dumps(pairs)
    except orjson.JSONEncodeError:
        # A lone surrogate is a legal JSON string and must hash, not crash.
        text = json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:32]


def to_messages(records: Sequence[dict[str, str]]) -> list[Message]:
    """Messages from the `{"role": ..., "content": ...}` records that the warehouse and Parquet files hold."""
    return [Message(cast(Role, record["role"]), record["content"]) for record in records]
