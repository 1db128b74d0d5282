"""When an answer to a prompt of one's own is right: the rules that a profile names. Pure functions on text."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selection_platform.configuration.evaluation_settings import AnswerRule
from selection_platform.evaluation.final_answer import boxed, first_line, marked, own_answer, plain, statements
from selection_platform.evaluation.gsm8k import final_number
from selection_platform.evaluation.letters import chosen_letter
from selection_platform.evaluation.numbers_in_text import numbers

_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[).:][ \t]+(\S.*)$", re.MULTILINE)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = dict.fromkeys(_ALPHABET, "")
_UNDERSCORES = "\ue000"
"""Stands for the two underscores of a name such as `__init__`, which are emphasis elsewhere."""
# A letter or digit, but not of Thai, Lao, Burmese, Khmer, Chinese, Japanese or Korean, whose words stand side by side.
_OF_WORD = r"[^\W\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"


def check_answer(rule: AnswerRule, item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """The verdict on one answer, by any of the item's references.

    Returns:
        Each 1.0 or 0.0: under the rule's name, whether the answer is right; `answer_found`: whether there is one.
    """
    found = _FOUND[rule](str(item["prompt"]), answers[0])
    right = any(_fits(rule, found, str(reference)) for reference in item["references"])
    return {rule: float(right), "answer_found": float(bool(found))}


def unfit_reference(rule: AnswerRule, prompt: str, reference: str) -> str | None:
    """What a rule needs of a reference to a prompt that this one has not; None where it fits."""
    if rule == "number" and len(numbers(reference)) != 1:
        return "is not one number"
    if rule == "letter":
        if not re.fullmatch(r"\(?[A-Z]\)?", reference.strip()):
            return "is not one capital letter"
        letters = list(_options(prompt))
        if reference.strip().strip("()") not in letters:
            return f"is none of the options {letters[0]} to {letters[-1]} of the prompt"
    if not reference.strip():
        return "is empty"
    return None if _bare_reference(reference) else "has no more than signs that do not count"


def _fits(rule: AnswerRule, found: Sequence[Any], reference: str) -> bool:
    if rule == "number":
        return numbers(reference) == list(found)
    if rule == "letter":
        return [reference.strip().strip("()")] == list(found)
    if rule == "contains":
        return any(_stands_in(_bare_reference(reference), text) for text in found)
    return _bare_reference(reference) in found


def _stands_in(reference: str, text: str) -> bool:
    """Whether it stands in the text as whole words: "no" does not stand in "know"."""
    before = f"(?<!{_OF_WORD})" if re.match(_OF_WORD, reference) else ""
    behind = f"(?!{_OF_WORD})" if re.match(_OF_WORD, reference[-1:]) else ""
    return re.search(before + re.escape(reference) + behind, text) is not None


def _wholes(_: str, answer: str) -> list[str]:
    """The answer as a whole, and what it says is the answer."""
    found: list[str] = []
    for text in _readings(own_answer(answer)):
        stated = boxed(text) or marked(text)
        found += [text, first_line(plain(stated))] if stated else [text]
    return [bare for each in found if (bare := _bare(each))]


def _all_of_it(_: str, answer: str) -> list[str]:
    return [bare for each in _readings(answer) if (bare := _bare(each))]


def _readings(answer: str) -> list[str]:
    """An answer, and the same with underscores that are no emphasis, if it has any."""
    return list(dict.fromkeys([answer, answer.replace("__", _UNDERSCORES)]))


def _number(_: str, answer: str) -> list[Any]:
    found = final_number(answer)
    return [] if found is None else [found]


def _letter(prompt: str, answer: str) -> list[str]:
    options = _options(prompt)
    found = (chosen_letter(part, options) for part in statements(answer))
    return [letter for letter in [next(filter(None, found), None)] if letter]


def _options(prompt: str) -> dict[str, str]:
    """The prompt's options by letter, the last ones where it has several lists; all letters where it has none.

    A list has at least two, in the order of the alphabet from A: `Q: Why?` and `A: So.` are no options.
    """
    lists: list[dict[str, str]] = [{}]
    for letter, text in _OPTION.findall(prompt):
        if letter != _ALPHABET[len(lists[-1]) : len(lists[-1]) + 1]:
            lists.append({})
        if letter == _ALPHABET[len(lists[-1])]:
            lists[-1][letter] = text
    return next((options for options in reversed(lists) if len(options) > 1), _LETTERS)


def _bare_reference(reference: str) -> str:
    return _bare(reference.replace("__", _UNDERSCORES))


def _bare(text: str) -> str:
    """Text in lower case, without emphasis, with single spaces, without quotes around it and a full stop behind it."""
    bare = " ".join(plain(text).split()).casefold().strip("\"' ").removesuffix(".").strip("\"' ")
    return bare.replace(_UNDERSCORES, "__")


_FOUND: dict[AnswerRule, Callable[[str, str], Sequence[Any]]] = {
    "exact": _wholes,
    "number": _number,
    "letter": _letter,
    "contains": _all_of_it,
}
