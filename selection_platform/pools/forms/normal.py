"""Brings the turns of a row into normal form: alternating roles, ending with an answer that is trained on."""

from collections.abc import Iterable, Iterator

from selection_platform.configuration.pool_settings import OutOfTurn
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.messages import Turn, UnknownRole
from selection_platform.pools.forms.notes import LeftOut, Notes
from selection_platform.text.conversation import Message, Role

UNANSWERED = "unanswered last message removed"
EMPTY_SYSTEM = "empty system message removed"
CUT = "cut before the first message out of turn"
CUT_AT_UNKNOWN = "cut before a message of an unknown role"
UNTRAINED_END = "what follows the last trained answer cut"
"""Names of parts that rows lose."""

NOTHING_TRAINED = "no answer is trained on"
BETWEEN = "\n\n"
"""Separates messages that are joined."""


def normalise(turns: Iterable[Turn], out_of_turn: OutOfTurn, notes: Notes, column: str = "messages") -> list[Message]:
    """Bring turns into normal form.

    Args:
        turns: in the row's order. System messages at the beginning become one.
        out_of_turn: what to do with a message whose role is not the next in turn.
        notes: collects what is left out.
        column: the field of the turns, for error messages.

    Raises:
        BadRow: a message is out of turn, or there is no question with an answer.
        LeftOut: no answer is trained on.
    """
    kept: list[Message] = []
    for turn in _until_unknown(_with_results_joined(turns), kept, out_of_turn, notes):
        role: Role = "user" if turn.role == "result" else turn.role
        message = Message(role, turn.content, turn.trained)
        last = kept[-1] if kept else None
        if role == "system" and (last is None or last.role == "system"):
            _add_system(message, kept, notes)
            continue
        expected: Role = "assistant" if last is not None and last.role == "user" else "user"
        if role == expected:
            kept.append(message)
        elif out_of_turn == "join" and last is not None and (role, message.trained) == (last.role, last.trained):
            kept[-1] = last._replace(content=last.content + BETWEEN + message.content)
        elif out_of_turn == "bad_row":
            raise _out_of_turn(turn.where, role, expected)
        else:
            notes.left_out(CUT)
            break
    return _ended(kept, notes, column)


def _add_system(message: Message, kept: list[Message], notes: Notes) -> None:
    if not message.content.strip():
        notes.left_out(EMPTY_SYSTEM)
    elif kept:
        kept[-1] = kept[-1]._replace(content=kept[-1].content + BETWEEN + message.content)
    else:
        kept.append(message)


def _with_results_joined(turns: Iterable[Turn]) -> Iterator[Turn]:
    """The turns, with consecutive tool results joined, each on separate lines."""
    waiting: Turn | None = None
    for turn in turns:
        if waiting is not None and turn.role == "result":
            waiting = waiting._replace(content=f"{waiting.content}\n{turn.content}")
            continue
        if waiting is not None:
            yield waiting
        waiting = turn if turn.role == "result" else None
        if waiting is None:
            yield turn
    if waiting is not None:
        yield waiting


def _until_unknown(turns: Iterable[Turn], kept: list[Message], out_of_turn: OutOfTurn, notes: Notes) -> Iterator[Turn]:
    """The turns before the first unknown role, if the settings allow cutting and there is an answer already."""
    try:
        yield from turns
    except UnknownRole:
        if out_of_turn == "bad_row" or all(message.role != "assistant" for message in kept):
            raise
        notes.left_out(CUT_AT_UNKNOWN)


def _ended(kept: list[Message], notes: Notes, column: str) -> list[Message]:
    """The conversation up to its last answer that is trained on."""
    if kept and kept[-1].role == "user":
        kept.pop()
        notes.left_out(UNANSWERED)
    answered = bool(kept) and kept[-1].role == "assistant"
    while kept and kept[-1].role == "assistant" and not kept[-1].trained:
        del kept[-2:]
        notes.left_out(UNTRAINED_END)
    if answered and (not kept or kept[-1].role != "assistant"):
        raise LeftOut(NOTHING_TRAINED)
    if not answered:
        raise BadRow("no question with an answer", column, "holds no question with an answer", "remove the row")
    return kept


def _out_of_turn(field: str, role: Role, expected: Role) -> BadRow:
    return BadRow(
        "roles do not alternate",
        field,
        f"has the role {role}, but it is the {expected}'s turn",
        "repair the row, or set out_of_turn: join to join messages of one role, or cut to end conversations there",
    )
