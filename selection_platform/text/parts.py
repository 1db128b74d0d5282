"""What a chat template made of each message: its rendering, told apart into the template's text and the messages'.

The template is run a second time with a mark in the place of each message's text. What stands between the marks is the
template's own. The parts are then looked for in the true rendering one after another, and must join to it.

A template may write a message otherwise than it is given: without blanks at its ends, or, as those of thinking models
do, an earlier answer without its thinking. Where an answer was written otherwise, the template's `{% generation %}`
marks say where it is, or else the rendering up to it where it begins, and the next message where it ends.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from selection_platform.text.conversation import Message, Role

Render = Callable[[Sequence[Message], bool], str]
"""Runs a template on messages; True adds what asks for an answer."""

Marks = Callable[[Sequence[Message]], list[tuple[int, int]]]
"""Where in a template's text of messages its `{% generation %}` marks are."""

_MARK = "\ufdd1{}\ufdd2"
_MARKS = re.compile("\ufdd1(\\d+)\ufdd2")


class Part(NamedTuple):
    """A run of a rendering.

    Attributes:
        text: the run.
        is_message: whether it is a message's text.
        answer: number of the message, from 0, where the run belongs to an answer: what the template writes between
            the prompt and the answer's text, the text, and the end of the turn. None for all else.
        is_text: whether it is an answer's own text.
    """

    text: str
    is_message: bool = False
    answer: int | None = None
    is_text: bool = False


class Unmatched(Exception):
    """A rendering whose parts cannot be told apart."""


@dataclass(frozen=True)
class Pattern:
    """What a template writes round the messages of a conversation, by their roles.

    Attributes:
        order: of the messages, as they stand in the text: some templates move the system message.
        between: before the first message there, between them, and after the last.
        leads: by answer, what stands between the prompt that asks for it and its text: nothing, in most templates.
    """

    order: tuple[int, ...]
    between: tuple[str, ...]
    leads: dict[int, str]


class Parts:
    """Takes renderings of one template apart.

    Args:
        render: runs the template.
        end: matches where a turn ends in what stands behind an answer.
        marks: finds the template's marks; None where it has none.
    """

    def __init__(self, render: Render, end: re.Pattern[str], marks: Marks | None = None) -> None:
        self._render = render
        self._end = end
        self._marks = marks
        self._pattern = cache(self._new_pattern)

    def of(self, messages: Sequence[Message]) -> list[Part]:
        """The parts of a whole conversation, in order.

        Raises:
            Unmatched: they cannot be told apart.
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
        """The parts of a conversation that asks for an answer; what belongs to earlier answers is not told.

        Raises:
            Unmatched: they cannot be told apart.
        """
        text = self._render(messages, True)
        pattern = self._pattern(tuple(message.role for message in messages), True)
        contents = _walk(text, [messages[number] for number in pattern.order], pattern.between)
        parts = [Part(pattern.between[0])]
        for content, behind in zip(contents, pattern.between[1:], strict=True):
            parts += [Part(content, is_message=True), Part(behind)]
        return _merged(parts)

    def _behind(self, messages: Sequence[Message], number: int | None, text: str) -> list[Part]:
        """What a template wrote behind a message: of an answer, the end of its turn and the rest."""
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
        """What stands between the prompt that asks for an answer and its text."""
        before = text[: text.index(marked[number].content)]
        try:
            prompt = self._render(marked[:number], True)
        except Unmatched:
            return ""
        return before[len(prompt) :] if before.startswith(prompt) else ""

    def _of_marked(self, messages: Sequence[Message], text: str, marks: Sequence[tuple[int, int]]) -> list[Part]:
        """The parts by the template's marks. Which text is a message's they do not tell: none may look like a token."""
        answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
        if len(marks) != len(answers):
            raise Unmatched(f"the template marks {len(marks)} answers of {len(answers)}")
        parts, place = list[Part](), 0
        for number, (start, marked) in zip(answers, marks, strict=True):
            ends = [match.span() for match in self._end.finditer(text, start, marked)]
            behind = self._end.match(text, marked)
            # The mark may hold the end of the turn, or stand before it.
            stop, end = ends[-1] if ends else (marked, behind.end() if behind else marked)
            parts += [
                Part(text[place:start]),
                Part(text[start:stop], is_message=True, answer=number, is_text=True),
                Part(text[stop:end], answer=number),
            ]
            place = end
        return _merged([*parts, Part(text[place:])])

    def _of_rewritten(self, messages: Sequence[Message], text: str, pattern: Pattern) -> list[Part]:
        """The parts where the template writes answers otherwise than they are given."""
        if list(pattern.order) != sorted(pattern.order):
            raise Unmatched("it moves messages, and writes some otherwise than they are given")
        parts: list[Part] = []
        start, waiting = 0, list[int]()
        for number in (*range(len(messages)), None):
            if number is not None and messages[number].role != "assistant":
                waiting.append(number)
                continue
            prompt = text if number is None else self._render(messages[:number], True)
            if not text.startswith(prompt) or len(prompt) < start:
                raise Unmatched("the rendering up to an answer is not how the whole begins")
            parts += self._turns(messages, waiting, text[start : len(prompt)], number, pattern)
            start, waiting = len(prompt), [] if number is None else [number]
        return _merged(parts)

    def _turns(
        self, messages: Sequence[Message], numbers: Sequence[int], text: str, before: int | None, pattern: Pattern
    ) -> Iterator[Part]:
        """The parts of a run of text from the beginning of an answer, or of all, up to the next answer or the end."""
        end = len(messages) if before is None else before
        lead = pattern.leads.get(end, "")
        suffix = pattern.between[end][: len(pattern.between[end]) - len(lead)]
        found: list[Part] = []
        for number in reversed(numbers):
            if not text.endswith(suffix):
                raise Unmatched("what stands behind a message is not the template's")
            text = text[: len(text) - len(suffix)]
            found[:0] = self._behind(messages, number, suffix)
            if messages[number].role == "assistant":
                found.insert(0, Part(text, is_message=True, answer=number, is_text=True))
                text = suffix = ""
                continue
            form = next((form for form in _forms(messages[number].content) if text.endswith(form)), None)
            if form is None:
                raise Unmatched("a message that is no answer is written otherwise")
            text = text[: len(text) - len(form)]
            found.insert(0, Part(form, is_message=True))
            suffix = pattern.between[number]
        if text != suffix:
            raise Unmatched("the parts do not join to the whole")
        yield from [Part(suffix), *found]


def _walk(text: str, messages: Sequence[Message], between: Sequence[str]) -> list[str]:
    """How each message is written, where the template's text stands round them."""
    if not text.startswith(between[0]):
        raise Unmatched("it begins otherwise")
    place, found = len(between[0]), list[str]()
    for message, behind in zip(messages, between[1:], strict=True):
        for form in _forms(message.content):
            if text.startswith(form, place) and text.startswith(behind, place + len(form)):
                place += len(form) + len(behind)
                found.append(form)
                break
        else:
            raise Unmatched("a message is written otherwise")
    if place != len(text):
        raise Unmatched("it ends otherwise")
    return found


def _forms(content: str) -> Iterator[str]:
    """How templates write a message's text."""
    yield content
    yield content.strip()
    yield content.strip("\n")
    yield content.lstrip()
    yield content.rstrip()
    yield content.lstrip("\n")
    yield content.rstrip("\n")


def _merged(parts: Sequence[Part]) -> list[Part]:
    """The parts without empty ones, and with neighbours of one kind put together."""
    merged: list[Part] = []
    for part in parts:
        if not part.text:
            continue
        if merged and merged[-1][1:] == part[1:]:
            merged[-1] = part._replace(text=merged[-1].text + part.text)
        else:
            merged.append(part)
    return merged
