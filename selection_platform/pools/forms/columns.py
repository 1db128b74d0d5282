"""Rows that hold a question and its answer in fields of their own."""

from collections.abc import Iterator
from typing import Any

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.pools.bad_rows import BadRow
from selection_platform.pools.forms.content import Speaker
from selection_platform.pools.forms.messages import Turn, form_of_list, listed, read_list, said
from selection_platform.pools.forms.notes import Notes
from selection_platform.pools.forms.reading import Reading
from selection_platform.pools.forms.texts import field_of, first_that_says, kind_of, text_of

BETWEEN = "\n\n"
"""What stands between a question and its material."""


def read_columns(unread: dict[str, Any], reading: Reading, settings: PoolSettings, notes: Notes) -> Iterator[Turn]:
    """Take a question, its answer and what goes with them out of the fields of a row.

    Raises:
        BadRow: one is missing, or is neither text nor a list of messages.
        LeftOut: a message has what the settings or a text model cannot use.
    """
    prompt, answer = reading.prompt or "", reading.answer or ""
    asked, answered = field_of(unread, prompt, prompt), field_of(unread, answer, answer)
    del unread[prompt], unread[answer]
    turns: list[Turn] = []
    history = first_that_says(unread, reading.history)
    if history is not None:
        turns += _history(unread.pop(history), history, settings, notes)
    question = _turns("user", asked, prompt, settings, notes)
    context = first_that_says(unread, reading.context)
    # Only behind a text: where a list of messages would take it is not for us to say.
    if context is not None and isinstance(asked, str):
        material = text_of(unread.pop(context), context)
        question[0] = question[0]._replace(content=question[0].content + BETWEEN + material)
    return iter([*turns, *question, *_turns("assistant", answered, answer, settings, notes)])


def _turns(role: Speaker, value: Any, name: str, settings: PoolSettings, notes: Notes) -> list[Turn]:
    """What a field says: one message as text, or a list of them."""
    if isinstance(value, list | dict):
        items = listed(value, name)
        form = form_of_list(items)
        if form in ("messages", "sharegpt"):
            return list(read_list(items, form, name, settings, notes))
    return [Turn(role, said(value, name), True, name)]


def _history(value: Any, name: str, settings: PoolSettings, notes: Notes) -> list[Turn]:
    """Earlier turns: pairs of question and answer, or a list of messages."""
    items = listed(value, name)
    form = form_of_list(items)
    if form in ("messages", "sharegpt", "pairs"):
        return list(read_list(items, form, name, settings, notes))
    turns: list[Turn] = []
    for index, pair in enumerate(items):
        where = f"{name}[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            problem = f"is {kind_of(pair)}, not a pair of question and answer"
            raise BadRow("history is not in pairs", where, problem, "write it as [question, answer]")
        turns.append(Turn("user", said(pair[0], f"{where}[0]"), True, f"{where}[0]"))
        turns.append(Turn("assistant", said(pair[1], f"{where}[1]"), True, f"{where}[1]"))
    return turns
