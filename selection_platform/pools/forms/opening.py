"""What a row has besides its messages that goes before them: a system message in a separate field, tool definitions."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from selection_platform.pools.forms import tools
from selection_platform.pools.forms.messages import Turn
from selection_platform.pools.forms.notes import Notes
from selection_platform.pools.forms.reading import SYSTEM_FIELDS, Reading
from selection_platform.pools.forms.texts import first_non_blank, is_blank, parsed_json, text_of

ARGUMENTS = "chat_template_kwargs"
INSTRUCTIONS = "custom_instructions"
DEFINITIONS = ("tools", "xml_tools", "python_tools")
"""Arguments that smoltalk2 passes to the chat template, and those of them that have text."""


class Opening(NamedTuple):
    """What goes before the messages.

    Attributes:
        system_texts: system messages.
        definitions: tools, each as one text.
    """

    system_texts: list[str]
    definitions: list[str]


def take_opening(unread: dict[str, Any], reading: Reading, notes: Notes) -> Opening:
    """Take what goes before the messages out of the fields of a row.

    Raises:
        BadRow: a system message is not text.
    """
    opening = Opening([], [])
    system = first_non_blank(unread, reading.system)
    # In a row with a list of messages, a field may have such a name by chance, and need not be text.
    by_chance = reading.column is not None and reading.system == SYSTEM_FIELDS
    if system is not None and not (by_chance and not isinstance(unread[system], str)):
        opening.system_texts.append(text_of(unread.pop(system), system))
    for name in tools.DEFINITION_FIELDS:
        if isinstance(unread.get(name), list | dict | str):
            opening.definitions.extend(tools.definitions(unread.pop(name)))
    _take_arguments(unread, opening, notes)
    return opening


def with_opening(turns: Iterator[Turn], opening: Opening) -> Iterator[Turn]:
    """The turns of a row with its opening. A text that a system message already has is not repeated."""
    own: list[Turn] = []
    following: Turn | None = None
    for turn in turns:
        if turn.role != "system":
            following = turn
            break
        own.append(turn)
    own_text = "\n".join(turn.content for turn in own)
    for text in opening.system_texts:
        if text.strip() not in own_text:
            yield Turn("system", text, True, "system")
    yield from own
    if opening.definitions and "<tools>" not in own_text:
        block = tools.definitions_block(list(dict.fromkeys(opening.definitions)))
        yield Turn("system", text_of(block, "tools"), True, "tools")
    if following is not None:
        yield following
        yield from turns


def _take_arguments(unread: dict[str, Any], opening: Opening, notes: Notes) -> None:
    """Take the arguments of the chat template."""
    given = unread.pop(ARGUMENTS, None)
    arguments = parsed_json(given) if isinstance(given, str) else given
    if not isinstance(arguments, dict):
        if not is_blank(given):
            notes.left_out(f"field {ARGUMENTS} left out")
        return
    if not is_blank(arguments.get(INSTRUCTIONS)):
        opening.system_texts.append(text_of(arguments[INSTRUCTIONS], f"{ARGUMENTS}.{INSTRUCTIONS}"))
    for name in DEFINITIONS:
        opening.definitions.extend(tools.definitions(arguments.get(name)))
    notes.unread(arguments, {INSTRUCTIONS, *DEFINITIONS}, within=f"{ARGUMENTS}.")
