"""A Jinja chat template as a renderer.

The template is rendered exactly as `tokenizer.apply_chat_template` does, and its text tokenised as servers do: all at
once, without additional special tokens. A token that crosses the border between prompt and answer counts as prompt.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

from jinja2 import TemplateError
from tokenizers import Encoding

from selection_platform.text.control_tokens import Run, TextEncoder
from selection_platform.text.conversation import Message, sample_id
from selection_platform.text.parts import Part, Parts, Unmatched
from selection_platform.text.renderer import Prompt, Renderer, UnusableTemplate
from selection_platform.text.rendering import LastAnswer, Piece, Tokens

DATES = {"%d %b %Y": "26 Jul 2024", "%d %B %Y": "26 July 2024", "%B %d, %Y": "July 26, 2024", "%Y-%m-%d": "2024-07-26"}
"""The date for templates that ask for the day: Llama 3.1's fallback. So scores do not change from day to day."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")

_PROBED = "a conversation of two turns"
_TURN = (Message("user", "Question?"), Message("assistant", "Answer."))
_TURNS = (*_TURN, *_TURN)
_SYSTEM = Message("system", "System.")


class Prologue(NamedTuple):
    """Text that is put before a template, so that every renderer of the template gives the same text.

    Attributes:
        arguments: values of the template's variables.
        bos: True writes the beginning-of-sequence token, False removes it, None leaves it to the template.
    """

    arguments: Mapping[str, Any]
    bos: bool | None = None

    def before(self, template: str) -> str:
        """The template with the prologue before it, unless it already has it."""
        lines = [f"{{%- set {name} = {_literal(value)} -%}}" for name, value in sorted(self.arguments.items())]
        if "strftime_now" in template:
            lines.append(f"{{%- set days = {_literal(DATES)} -%}}")
            lines.append("{%- macro strftime_now(format) -%}{{- days[format] -}}{%- endmacro -%}")
        if self.bos is not None:
            lines.append("{{- bos_token -}}" if self.bos else "{%- set bos_token = '' -%}")
        text = "".join(lines)
        return template if template.startswith(text) else text + template


class ChatTemplate(Renderer):
    """A Jinja chat template with a tokenizer.

    Args:
        tokenizer: a tokenizer of transformers.
        name: the template's name, for messages.
        template: its text.
        prologue: what to put before it.
        control_tokens: whether the text of a special token inside a message becomes the token.

    Raises:
        UnusableTemplate: it cannot be rendered, leaves messages out, or does not end answers with a token.
    """

    def __init__(
        self, tokenizer: Any, name: str, template: str, prologue: Prologue, *, control_tokens: bool = False
    ) -> None:
        self.name = name
        self.chat_template = prologue.before(template)
        self.tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer, control_tokens=control_tokens)
        ends = [re.escape(token) for token in sorted(self._encoder.added, key=len, reverse=True) if token]
        self._ends = re.compile("|".join(ends) or "(?!)")
        self._parts = Parts(self._render, self._ends, self._marks if _GENERATION.search(template) else None)
        self._folds_system = False
        try:
            self._probe(adds_bos=prologue.bos is True)
        except Unmatched as error:
            raise self._unusable(_TURNS, error, _PROBED) from error

    def _probe(self, *, adds_bos: bool) -> None:
        """Find out from short conversations what the template writes around messages."""
        self._folds_system = not self._takes_system()
        parts = self._parts.of(_TURNS)
        places = [place for place, part in enumerate(parts) if part.answer == len(_TURNS) - 1]
        if parts[places[-1]].is_text:
            raise UnusableTemplate(
                f"template {self.name}: no token of the tokenizer ends an answer, so a model would not learn to end "
                "its answers; write one after the answers, such as eos_token, or name another template"
            )
        ids, borders = self._encode(parts)
        self.end = ids[borders[places[-1]] : [*borders, len(ids)][places[-1] + 1]]
        self.ends = tuple(dict.fromkeys([self.end[-1], int(self.tokenizer.eos_token_id)]))
        text = "".join(part.text for part in parts)
        bos: str = self.tokenizer.bos_token or ""
        self.begins_with_bos = bool(bos) and text.startswith(bos)
        # In some tokenizers it also begins each turn, and in others it also ends answers.
        once = sum(part.text.count(bos) for part in parts if part.answer is None) == 1
        is_bos = self.begins_with_bos and (once or adds_bos)
        self.bos = [int(self.tokenizer.bos_token_id)] if is_bos else []
        self._cue_text = (bos if is_bos else "") + self._asks()
        self.cue = self._encode([Part(self._cue_text)])[0]

    def _asks(self) -> str:
        """The text that the template adds only when it asks for an answer."""
        prompt, question = self._render(_TURN[:1], True), self._render(_TURN[:1], False)
        same = zip(prompt, question, strict=False)
        border = next(
            (place for place, (one, other) in enumerate(same) if one != other), min(len(prompt), len(question))
        )
        # Two different tokens may begin with the same characters.
        border = next((m.start() for m in self._ends.finditer(prompt) if m.start() < border < m.end()), border)
        # Some templates add nothing: they write the same text after each question.
        return prompt[border:] or self._parts.of_prompt(_TURN[:1])[-1].text

    def _takes_system(self) -> bool:
        try:
            return any(_SYSTEM.content in part.text for part in self._parts.of([_SYSTEM, *_TURNS]))
        except Unmatched:
            return False

    def tokenize(self, messages: Sequence[Message]) -> Tokens:
        """The whole conversation, rendered for training."""
        parts = self._parts_of(messages)
        ids, borders = self._encode(parts)
        trained = {number for number, message in enumerate(self._taken(messages)) if message.trained}
        answers = [part.answer is not None and part.answer in trained for part in parts]
        texts = [part.is_text and is_answer for part, is_answer in zip(parts, answers, strict=True)]
        lengths = [after - before for before, after in zip(borders, [*borders[1:], len(ids)], strict=True)]
        size = sum(len(part.text.encode()) for part, is_text in zip(parts, texts, strict=True) if is_text)
        return Tokens(ids, _spread(answers, lengths), _spread(texts, lengths), size)

    def last_answers(self, conversations: Sequence[Sequence[Message]]) -> list[LastAnswer]:
        """The prompt and the last answer of each conversation, with one call of the tokenizer for all.

        The answer has the same tokens after the cue as after the prompt.
        """
        all_parts = [self._parts_of(messages) for messages in conversations]
        encoded = self._encoder.encode_all([[Run(part.text, part.is_message) for part in parts] for parts in all_parts])
        return [
            self._last_answer(parts, len(self._taken(messages)) - 1, *encoding)
            for messages, parts, encoding in zip(conversations, all_parts, encoded, strict=True)
        ]

    def _last_answer(self, parts: Sequence[Part], number: int, encoding: Encoding, starts: list[int]) -> LastAnswer:
        ids, borders = encoding.ids, _borders(encoding, starts)
        places = [place for place, part in enumerate(parts) if part.answer == number]
        # The end of its turn is not scored.
        behind = places[-1] + 1 if parts[places[-1]].is_text else places[-1]
        first, last = borders[places[0]], [*borders, len(ids)][behind]
        return LastAnswer(ids[:first], ids[first:last], self.cue, ids[first:last])

    def pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The conversation as text."""
        trained = [message.trained for message in self._taken(messages)]
        pieces: list[Piece] = []
        for part in self._parts_of(messages):
            piece = Piece(part.text, part.answer is not None, part.answer is not None and trained[part.answer])
            if pieces and pieces[-1].is_answer == piece.is_answer:
                piece = replace(piece, text=pieces.pop().text + piece.text)
            pieces.append(piece)
        return pieces

    def prompt(self, messages: Sequence[Message], answer_start: str = "") -> Prompt:
        """The prompt for the next answer."""
        parts = self._prompt_parts(messages)
        ids = self._encode([*parts, Part(answer_start, is_message=True)])[0]
        return Prompt("".join(part.text for part in parts) + answer_start, ids, answer_start)

    def continuation(self, prompt: Prompt, answer: str) -> list[int]:
        """Token ids of an answer after a prompt, tokenised together with it unless a token crosses the border."""
        cue = Part(self._cue_text)
        before = self._encode([cue, Part(prompt.answer_start, is_message=True)])[0]
        whole = self._encode([cue, Part(prompt.answer_start + answer, is_message=True)])[0]
        if whole[: len(before)] == before:
            return whole[len(before) :]
        return self._encode([Part(answer, is_message=True)])[0]

    def _prompt_parts(self, messages: Sequence[Message]) -> list[Part]:
        taken = self._taken(messages)
        try:
            return self._parts.of_prompt(taken)
        except Unmatched as error:
            if any(self._encoder.has_control(message.content) for message in taken):
                raise self._unusable(messages, error) from error
        try:
            # Which text is a message's does not matter if none could become a control token.
            return [Part(self._render(taken, True))]
        except Unmatched as error:
            raise self._unusable(messages, error) from error

    def _parts_of(self, messages: Sequence[Message]) -> list[Part]:
        try:
            return self._parts.of(self._taken(messages))
        except Unmatched as error:
            raise self._unusable(messages, error) from error

    def _unusable(self, messages: Sequence[Message], error: Unmatched, what: str | None = None) -> UnusableTemplate:
        return UnusableTemplate(
            f"template {self.name}: {what or f'sample {sample_id(messages)}'}: {error}; name another template under "
            "`text:` in the profile, or a file of your own"
        )

    def _taken(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages as the template takes them. If it takes no system message, that goes into the question."""
        if not self._folds_system or messages[0].role != "system" or len(messages) == 1:
            return messages
        system, question, *rest = messages
        return [question._replace(content=f"{system.content}\n\n{question.content}"), *rest]

    def _render(self, messages: Sequence[Message], generation: bool) -> str:
        records = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self.tokenizer.apply_chat_template(
                records, chat_template=self.chat_template, tokenize=False, add_generation_prompt=generation
            )
        # A template can raise every exception that a Python expression can.
        except (TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise Unmatched(f"it cannot be rendered ({type(error).__name__}: {error})") from error

    def _marks(self, messages: Sequence[Message]) -> list[tuple[int, int]]:
        """The positions of the template's `{% generation %}` blocks in the rendered text."""
        from transformers.utils.chat_template_utils import render_jinja_template

        # Its annotation says that it returns only the text.
        _, marks = cast(Any, render_jinja_template)(
            conversations=[[{"role": message.role, "content": message.content} for message in messages]],
            chat_template=self.chat_template,
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        return marks[0]

    def _encode(self, parts: Sequence[Part]) -> tuple[list[int], list[int]]:
        """Token ids, and the index of each part's first token."""
        encoding, starts = self._encoder.encode([Run(part.text, part.is_message) for part in parts])
        return encoding.ids, _borders(encoding, starts)


def _borders(encoding: Encoding, starts: Sequence[int]) -> list[int]:
    """The first token of each run of text. A token in two runs belongs to the first.

    Some tokenizers leave blanks out of offsets. Characters that no token covers belong to the next token.
    """
    offsets = encoding.offsets
    borders: list[int] = []
    for start in starts:
        token = bisect_left(offsets, (start, 0))
        while 0 < token < len(offsets) and offsets[token - 1][1] < start:
            token += 1
        borders.append(token)
    return borders


def _spread(flags: Sequence[bool], lengths: Sequence[int]) -> list[bool]:
    return [flag for flag, length in zip(flags, lengths, strict=True) for _ in range(length)]


def _literal(value: Any) -> str:
    """A value as a Jinja literal."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(str(name))}: {_literal(inner)}" for name, inner in value.items()) + "}"
    # Jinja has Python's escapes, and accepts true and false.
    return json.dumps(value, ensure_ascii=False)
