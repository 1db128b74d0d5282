"""Rows with a question and its answer in separate fields."""

from collections.abc import Iterator
from typing import Any

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.content import Speaker
from selection_platform.pools.forms.messages import Turn, form_of_list, message_list, non_empty_text, read_list
from selection_platform.pools.forms.notes import Notes
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.texts import field_of, first_non_blank, kind_of, text_of

BETWEEN = "\n\n"
"""Separates a question from its material."""


def read_columns(unread: dict[str, Any], reading: Reading, settings: PoolSettings, notes: Notes) -> Iterator[Turn]:
    """Take a question, its answer, history and material out of the fields of a row.

    Raises:
        BadRow: question or answer is missing, or is neither text nor a list of messages.
        LeftOut: a message has something that the settings exclude or a text model cannot use.
    """
    prompt, answer = reading.prompt or "", reading.answer or ""
    prompt_value, answer_value = field_of(unread, prompt, prompt), field_of(unread, answer, answer)
    del unread[prompt], unread[answer]
    turns: list[Turn] = []
    history = first_non_blank(unread, reading.history)
    if history is not None:
        turns += _history(unread.pop(history), history, settings, notes)
    question = _turns("user", prompt_value, prompt, settings, notes)
    context = first_non_blank(unread, reading.context)
    # Only after a text: in a list of messages it is unclear where material belongs.
    if context is not None and isinstance(prompt_value, str):
        material = text_of(unread.pop(context), context)
        question[0] = question[0]._replace(content=question[0].content + BETWEEN + material)
    return iter([*turns, *question, *_turns("assistant", answer_value, answer, settings, notes)])


def _turns(role: Speaker, value: Any, name: str, settings: PoolSettings, notes: Notes) -> list[Turn]:
    """The turns in a field: one message as text, or a list of messages."""
    if isinstance(value, list | dict):
        items = message_list(value, name)
        form = form_of_list(items)
        if form in ("messages", "sharegpt"):
            return list(read_list(items, form, name, settings, notes))
    return [Turn(role, non_empty_text(value, name), True, name)]


def _history(value: Any, name: str, settings: PoolSettings, notes: Notes) -> list[Turn]:
    """Earlier turns: pairs of question and answer, or a list of messages."""
    items = message_list(value, name)
    form = form_of_list(items)
    if form in ("messages", "sharegpt", "pairs"):
        return list(read_list(items, form, name, settings, notes))
    turns: list[Turn] = []
    for index, pair in enumerate(items):
        where = f"{name}[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            problem = f"is {kind_of(pair)}, not a pair of question and answer"
            raise BadRow("history is not in pairs", where, problem, "write it as [question, answer]")
        turns.append(Turn("user", non_empty_text(pair[0], f"{where}[0]"), True, f"{where}[0]"))
        turns.append(Turn("assistant", non_empty_text(pair[1], f"{where}[1]"), True, f"{where}[1]"))
    return turns
