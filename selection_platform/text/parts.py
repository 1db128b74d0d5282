"""Splits a chat template's rendering into the template's text and the messages' texts.

The template is rendered a second time with a marker in place of each message's text. The text between the markers comes
from the template. These parts are then located in the real rendering one after another, and must join to it.

A template may change a message: strip blanks at its ends or, in thinking models, remove the thinking from an earlier
answer. If it changed an answer, its `{% generation %}` tags locate the answer. Without them, the answer begins where
the rendering up to it ends, and ends where the next message begins.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from selection_platform.text.conversation import Message, Role

Render = Callable[[Sequence[Message], bool], str]
"""Renders messages with a template; True adds the prompt for an answer."""

Marks = Callable[[Sequence[Message]], list[tuple[int, int]]]
"""The positions of a template's `{% generation %}` blocks in the rendered text of messages."""

_MARK = "\ufdd1{}\ufdd2"
_MARKS = re.compile("\ufdd1(\\d+)\ufdd2")


class Part(NamedTuple):
    """A run of a rendering.

    Attributes:
        text: the run.
        is_message: whether it is a message's text.
        answer: number of the message, from 0, if the run belongs to an answer: the template's text between the prompt
            and the answer, the answer's text, and the end of the turn. None for everything else.
        is_text: whether it is an answer's own text.
    """

    text: str
    is_message: bool = False
    answer: int | None = None
    is_text: bool = False


class Unmatched(Exception):
    """A rendering that cannot be split into parts."""


@dataclass(frozen=True)
class Pattern:
    """The text that a template writes around the messages of a conversation with given roles.

    Attributes:
        order: the order of the messages in the text, because some templates move the system message.
        between: the text before the first message, between messages, and after the last.
        leads: for each answer, the text between its prompt and its own text; empty in most templates.
    """

    order: tuple[int, ...]
    between: tuple[str, ...]
    leads: dict[int, str]


class Parts:
    """Splits renderings of one template.

    Args:
        render: renders the template.
        end: matches the end of a turn in the text after an answer.
        marks: locates the template's `{% generation %}` blocks; None if it has none.
    """

    def __init__(self, render: Render, end: re.Pattern[str], marks: Marks | None = None) -> None:
        self._render = render
        self._end = end
        self._marks = marks
        self._pattern = cache(self._new_pattern)

    def of(self, messages: Sequence[Message]) -> list[Part]:
        """The parts of a whole conversation, in order.

        Raises:
            Unmatched: the rendering cannot be split.
        """
        text = self._render(messages, False)
        pattern = self._pattern(tuple(message.role for message in messages), False)
        try:
            contents = _walk(text, [messages[number] for number in pattern.order], pattern.between)
        except Unmatched:
            if self._marks is not None and not self._end.search("".join(message.content for message in messages)):
                return self._of_marked(messages, text, self._marks(messages))
            return self._of_rewritten(messages, text, pattern)
        parts: list[Part] = []
        last = None
        for number, content, before in zip(pattern.order, contents, pattern.between, strict=False):
            is_answer = messages[number].role == "assistant"
            lead = pattern.leads.get(number, "")
            parts += self._behind(messages, last, before[: len(before) - len(lead)])
            parts += [Part(lead, answer=number)] if lead else []
            parts.append(Part(content, is_message=True, answer=number if is_answer else None, is_text=is_answer))
            last = number
        return _merged([*parts, *self._behind(messages, last, pattern.between[-1])])

    def of_prompt(self, messages: Sequence[Message]) -> list[Part]:
        """The parts of a prompt. They do not say what belongs to earlier answers.

        Raises:
            Unmatched: the rendering cannot be split.
        """
        text = self._render(messages, True)
        pattern = self._pattern(tuple(message.role for message in messages), True)
        contents = _walk(text, [messages[number] for number in pattern.order], pattern.between)
        parts = [Part(pattern.between[0])]
        for content, behind in zip(contents, pattern.between[1:], strict=True):
            parts += [Part(content, is_message=True), Part(behind)]
        return _merged(parts)

    def _behind(self, messages: Sequence[Message], number: int | None, text: str) -> list[Part]:
        """The template's text after a message; after an answer, the end of its turn and the rest."""
        if number is None or messages[number].role != "assistant":
            return [Part(text)]
        match = self._end.search(text)
        place = match.end() if match else 0
        return [Part(text[:place], answer=number), Part(text[place:])]

    def _new_pattern(self, roles: tuple[Role, ...], generation: bool) -> Pattern:
        marked = [Message(role, _MARK.format(number)) for number, role in enumerate(roles)]
        text = self._render(marked, generation)
        pieces = _MARKS.split(text)
        order = tuple(map(int, pieces[1::2]))
        if sorted(order) != list(range(len(roles))):
            raise Unmatched("the template leaves messages out, or repeats them")
        answers = [number for number, role in enumerate(roles) if role == "assistant" and number and not generation]
        leads = {number: self._lead(marked, number, text) for number in answers}
        return Pattern(order, tuple(pieces[0::2]), leads)

    def _lead(self, marked: Sequence[Message], number: int, text: str) -> str:
        """The text between an answer's prompt and its own text."""
        before = text[: text.index(marked[number].content)]
        try:
            prompt = self._render(marked[:number], True)
        except Unmatched:
            return ""
        return before[len(prompt) :] if before.startswith(prompt) else ""

    def _of_marked(self, messages: Sequence[Message], text: str, marks: Sequence[tuple[int, int]]) -> list[Part]:
        """The parts by the template's marks, which do not say what is a message: no message may contain a token."""
        answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
        if len(marks) != len(answers):
            raise Unmatched(f"the template marks {len(marks)} answers of {len(answers)}")
        parts, place = list[Part](), 0
        for number, (start, marked) in zip(answers, marks, strict=True):
            ends = [match.span() for match in self._end.finditer(text, start, marked)]
            behind = self._end.match(text, marked)
            # The mark may include the end of the turn, or end before it.
            stop, end = ends[-1] if ends else (marked, behind.end() if behind else marked)
            parts += [
                Part(text[place:start]),
                Part(text[start:stop], is_message=True, answer=number, is_text=True),
                Part(text[stop:end], answer=number),
            ]
            place = end
        return _merged([*parts, Part(text[place:])])

    def _of_rewritten(self, messages: Sequence[Message], text: str, pattern: Pattern) -> list[Part]:
        """The parts if the template changes answers."""
        if list(pattern.order) != sorted(pattern.order):
            raise Unmatched("it moves messages, and also changes some")
        parts: list[Part] = []
        start, waiting = 0, list[int]()
        for number in (*range(len(messages)), None):
            if number is not None and messages[number].role != "assistant":
                waiting.append(number)
                continue
            prompt = text if number is None else self._render(messages[:number], True)
            if not text.startswith(prompt) or len(prompt) < start:
                raise Unmatched("the whole rendering does not begin with the rendering up to an answer")
            parts += self._turns(messages, waiting, text[start : len(prompt)], number, pattern)
            start, waiting = len(prompt), [] if number is None else [number]
        return _merged(parts)

    def _turns(
        self, messages: Sequence[Message], numbers: Sequence[int], text: str, before: int | None, pattern: Pattern
    ) -> Iterator[Part]:
        """The parts of the text from the start of an answer, or of the conversation, up to the next answer or end."""
        end = len(messages) if before is None else before
        lead = pattern.leads.get(end, "")
        suffix = pattern.between[end][: len(pattern.between[end]) - len(lead)]
        parts: list[Part] = []
        for number in reversed(numbers):
            if not text.endswith(suffix):
                raise Unmatched("the text after a message is not the template's")
            text = text[: len(text) - len(suffix)]
            parts[:0] = self._behind(messages, number, suffix)
            if messages[number].role == "assistant":
                parts.insert(0, Part(text, is_message=True, answer=number, is_text=True))
                text = suffix = ""
                continue
            form = next((form for form in _forms(messages[number].content) if text.endswith(form)), None)
            if form is None:
                raise Unmatched("it changes a message that is not an answer")
            text = text[: len(text) - len(form)]
            parts.insert(0, Part(form, is_message=True))
            suffix = pattern.between[number]
        if text != suffix:
            raise Unmatched("the parts do not join to the whole")
        yield from [Part(suffix), *parts]


def _walk(text: str, messages: Sequence[Message], between: Sequence[str]) -> list[str]:
    """How each message is written between the template's texts."""
    if not text.startswith(between[0]):
        raise Unmatched("it begins differently")
    place, written = len(between[0]), list[str]()
    for message, behind in zip(messages, between[1:], strict=True):
        for form in _forms(message.content):
            if text.startswith(form, place) and text.startswith(behind, place + len(form)):
                place += len(form) + len(behind)
                written.append(form)
                break
        else:
            raise Unmatched("it changes a message")
    if place != len(text):
        raise Unmatched("it ends differently")
    return written


def _forms(content: str) -> Iterator[str]:
    """The ways in which templates write a message's text."""
    yield content
    yield content.strip()
    yield content.strip("\n")
    yield content.lstrip()
    yield content.rstrip()
    yield content.lstrip("\n")
    yield content.rstrip("\n")


def _merged(parts: Sequence[Part]) -> list[Part]:
    """The parts without empty ones, with neighbours of the same kind joined."""
    merged: list[Part] = []
    for part in parts:
        if not part.text:
            continue
        if merged and merged[-1][1:] == part[1:]:
            merged[-1] = part._replace(text=merged[-1].text + part.text)
        else:
            merged.append(part)
    return merged
