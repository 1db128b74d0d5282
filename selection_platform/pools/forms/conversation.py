"""One row of a pool as a conversation in normal form. Plain functions, so that any process can run them."""

from dataclasses import dataclass
from typing import Any

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.forms import tools
from selection_platform.pools.forms.chatgpt import read_chatgpt
from selection_platform.pools.forms.columns import read_columns
from selection_platform.pools.forms.messages import message_list, read_list
from selection_platform.pools.forms.normal import normalise
from selection_platform.pools.forms.notes import LeftOut, Notes
from selection_platform.pools.forms.opening import take_opening, with_opening
from selection_platform.pools.forms.parsing import too_deep
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.texts import field_of
from selection_platform.pools.forms.trees import take_tree
from selection_platform.text.conversation import Message

PACKAGED = ("source", "licence")
"""Fields in which rows of packaged pools name their source and licence."""


@dataclass(frozen=True)
class Conversation:
    """The conversation in a row.

    Attributes:
        messages: in normal form, all with text; empty if the row is dropped.
        dropped: why the row is dropped, in words that do not depend on the row; None if it is kept.
        trimmed: descriptions of parts that were left out.
        ignored: fields that were not read and are not known to be part of a conversation.
    """

    messages: tuple[Message, ...]
    dropped: str | None = None
    trimmed: tuple[str, ...] = ()
    ignored: frozenset[str] = frozenset()


def read_conversation(record: dict[str, Any], reading: Reading, settings: PoolSettings) -> Conversation:
    """The conversation in a row of the source.

    Raises:
        BadRow: there is none, or it cannot be brought into normal form.
    """
    notes = Notes()
    try:
        messages = _read(dict(record), reading, settings, notes)
    except LeftOut as left_out:
        return Conversation((), left_out.reason)
    except RecursionError:
        raise too_deep() from None
    # Filters and the row's source are read elsewhere.
    used = {settings.source_column, *settings.where, *(PACKAGED if settings.source.package else ())}
    return Conversation(tuple(messages), None, tuple(notes.trimmed), frozenset(notes.ignored - used))


def _read(unread: dict[str, Any], reading: Reading, settings: PoolSettings, notes: Notes) -> list[Message]:
    """Take everything that is read out of a row, and note what remains."""
    if reading.form == "tree":
        take_tree(unread, notes)
    # The messages first, because their errors say what is wrong with a row of another form.
    column = reading.column
    if column is None:
        turns = read_columns(unread, reading, settings, notes)
    elif reading.form == "chatgpt":
        turns = read_chatgpt(unread, column, settings, notes)
    else:
        items = message_list(field_of(unread, column, column), column)
        del unread[column]
        turns = read_list(items, reading.form, column, settings, notes, reading.keys)
    opening = take_opening(unread, reading, notes)
    if opening.definitions and settings.tools == "drop_row":
        raise LeftOut(tools.HAS_TOOLS)
    messages = normalise(with_opening(turns, opening), settings.out_of_turn, notes, column or reading.answer or "")
    notes.unread(unread, frozenset(), (message.content for message in messages))
    return messages
