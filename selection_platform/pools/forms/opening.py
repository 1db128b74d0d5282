"""What a row tells the model before the first message: a system message in a field of its own, definitions of tools."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from selection_platform.pools.forms import tools
from selection_platform.pools.forms.messages import Turn
from selection_platform.pools.forms.notes import Notes
from selection_platform.pools.forms.reading import SYSTEM_FIELDS, Reading
from selection_platform.pools.forms.texts import first_that_says, is_blank, parsed_json, text_of

ARGUMENTS = "chat_template_kwargs"
INSTRUCTIONS = "custom_instructions"
DEFINITIONS = ("tools", "xml_tools", "python_tools")
"""What smoltalk2 hands to the chat template beside the messages, and what of it is text."""


class Opening(NamedTuple):
    """What stands before the messages.

    Attributes:
        said: system messages.
        definitions: tools, each as one text.
    """

    said: list[str]
    definitions: list[str]


def take_opening(unread: dict[str, Any], reading: Reading, notes: Notes) -> Opening:
    """Take what stands before the messages out of the fields of a row.

    Raises:
        BadRow: a system message is no text.
    """
    opening = Opening([], [])
    system = first_that_says(unread, reading.system)
    # Beside a list of messages, a field that happens to have a usual name need not be text.
    by_chance = reading.column is not None and reading.system == SYSTEM_FIELDS
    if system is not None and not (by_chance and not isinstance(unread[system], str)):
        opening.said.append(text_of(unread.pop(system), system))
    for name in tools.DEFINITION_FIELDS:
        if isinstance(unread.get(name), list | dict | str):
            opening.definitions.extend(tools.definitions(unread.pop(name)))
    _take_arguments(unread, opening, notes)
    return opening


def opened(turns: Iterator[Turn], opening: Opening) -> Iterator[Turn]:
    """The turns of a row with what stands before them; what a system message of theirs says is not said again."""
    own: list[Turn] = []
    following: Turn | None = None
    for turn in turns:
        if turn.role != "system":
            following = turn
            break
        own.append(turn)
    heard = "\n".join(turn.content for turn in own)
    for text in opening.said:
        if text.strip() not in heard:
            yield Turn("system", text, True, "system")
    yield from own
    if opening.definitions and "<tools>" not in heard:
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
        opening.said.append(text_of(arguments[INSTRUCTIONS], f"{ARGUMENTS}.{INSTRUCTIONS}"))
    for name in DEFINITIONS:
        opening.definitions.extend(tools.definitions(arguments.get(name)))
    notes.unread(arguments, {INSTRUCTIONS, *DEFINITIONS}, within=f"{ARGUMENTS}.")
