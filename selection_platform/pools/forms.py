"""The three forms that rows come in, turned into the one normal form (`selection_platform.text.conversation`)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.text.conversation import Message, Role

ROLE_NAMES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "system": "system",
}
"""What data sets call the roles."""

UNANSWERED = "unanswered last message removed"
EMPTY_SYSTEM = "empty system message removed"
CUT = "cut before the first message out of turn"


@dataclass(frozen=True)
class Conversation:
    """A row in normal form.

    Attributes:
        messages: in normal form, all with text.
        trimmed: what was taken away to make it so, in words.
    """

    messages: tuple[Message, ...]
    trimmed: tuple[str, ...] = ()


def read_conversation(record: dict[str, Any], settings: PoolSettings) -> Conversation:
    """The conversation that a row of the source holds.

    Raises:
        BadRow: it holds none, or one that cannot be brought into normal form.
    """
    if settings.form == "alpaca":
        return normalise(_alpaca(record), cut=False)
    role_key, content_key = ("from", "value") if settings.form == "sharegpt" else ("role", "content")
    messages = _listed(record, settings.turns_column, role_key, content_key)
    return normalise(messages, cut=settings.out_of_turn == "cut", column=settings.turns_column)


def normalise(messages: Iterable[Message], *, cut: bool, column: str = "messages") -> Conversation:
    """Bring messages into normal form: roles in turn, the last one the assistant's.

    Args:
        messages: as the row lists them.
        cut: end the conversation before the first message out of turn, rather than call the row bad.
        column: the field that they stand in, for messages.
    """
    kept: list[Message] = []
    trimmed: list[str] = []
    expected: Role = "user"
    for index, message in enumerate(messages):
        if message.role == "system" and index == 0:
            if message.content.strip():
                kept.append(message)
            else:
                trimmed.append(EMPTY_SYSTEM)
            continue
        if message.role != expected:
            if not cut:
                raise _out_of_turn(f"{column}[{index}]", message.role, expected)
            trimmed.append(CUT)
            break
        kept.append(message)
        expected = "assistant" if expected == "user" else "user"
    if kept and kept[-1].role == "user":
        kept.pop()
        trimmed.append(UNANSWERED)
    if not kept or kept[-1].role == "system":
        raise BadRow("no question with an answer", column, "holds no question with an answer", "remove the row")
    return Conversation(tuple(kept), tuple(trimmed))


def _out_of_turn(field: str, role: Role, expected: Role) -> BadRow:
    return BadRow(
        "roles do not alternate",
        field,
        f"is the {role}'s where the {expected}'s turn is",
        "repair the row, set out_of_turn: cut to end conversations there",
    )


def _listed(record: dict[str, Any], column: str, role_key: str, content_key: str) -> Iterator[Message]:
    turns = _field(record, column, column)
    if not isinstance(turns, list):
        raise BadRow(
            "the messages are not a list", column, f"is {_kind(turns)}, not a list of messages", "name another `column`"
        )
    for index, turn in enumerate(turns):
        where = f"{column}[{index}]"
        if not isinstance(turn, dict):
            raise BadRow(
                "a message is not an object",
                where,
                f"is {_kind(turn)}, not an object with {role_key} and {content_key}",
                "write it as one",
            )
        role = _role(_field(turn, role_key, f"{where}.{role_key}"), f"{where}.{role_key}")
        content = text_of(_field(turn, content_key, f"{where}.{content_key}"), f"{where}.{content_key}")
        if not content.strip() and role != "system":
            raise _empty(f"{where}.{content_key}")
        yield Message(role, content)


def _alpaca(record: dict[str, Any]) -> Iterator[Message]:
    if record.get("system") is not None:
        yield Message("system", text_of(record["system"], "system"))
    instruction = text_of(_field(record, "instruction", "instruction"), "instruction")
    given = text_of("" if record.get("input") is None else record["input"], "input")
    answer = text_of(_field(record, "output", "output"), "output")
    for field, text in (("instruction", instruction), ("output", answer)):
        if not text.strip():
            raise _empty(field)
    yield Message("user", f"{instruction}\n\n{given}" if given.strip() else instruction)
    yield Message("assistant", answer)


def _field(record: dict[str, Any], key: str, where: str) -> Any:
    if key not in record:
        present = ", ".join(sorted(record)) or "nothing"
        raise BadRow(
            "a field is missing",
            where,
            f"is missing; there is {present}",
            "set the pool's form and column to the data's",
        )
    return record[key]


def _role(name: Any, where: str) -> Role:
    role = ROLE_NAMES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        known = ", ".join(ROLE_NAMES)
        raise BadRow("unknown role", where, f"{repr(name)[:40]} is not a role that is known ({known})", "rename it")
    return role


def text_of(value: Any, where: str) -> str:
    """The value, which must be text that can be stored.

    Raises:
        BadRow: it is not.
    """
    if not isinstance(value, str):
        raise BadRow("a text is not a string", where, f"is {_kind(value)}, not a string", "write it as text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRow(
            "broken Unicode", where, r"holds half of a surrogate pair (\ud800 to \udfff)", "replace that character"
        ) from None
    return value


def _empty(where: str) -> BadRow:
    return BadRow("empty message", where, "is empty", "fill it in or remove the row")


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
