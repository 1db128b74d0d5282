"""When an answer to a prompt of one's own is right: the rules that a profile names. Pure functions on text."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selection_platform.configuration.settings import AnswerRule
from selection_platform.evaluation.final_answer import boxed, first_line, marked, own_answer, plain, statements
from selection_platform.evaluation.gsm8k import final_number
from selection_platform.evaluation.letters import chosen_letter
from selection_platform.evaluation.numbers_in_text import numbers

_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[).:][ \t]+(\S.*)$", re.MULTILINE)
_LETTERS = dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "")


def check_answer(rule: AnswerRule, item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """The verdict on one answer, by any of the item's references.

    Returns:
        Each 1.0 or 0.0: under the rule's name, whether the answer is right; `answer_found`: whether there is one.
    """
    found = _FOUND[rule](str(item["prompt"]), answers[0])
    right = any(_fits(rule, found, str(reference)) for reference in item["references"])
    return {rule: float(right), "answer_found": float(bool(found))}


def unfit_reference(rule: AnswerRule, reference: str) -> str | None:
    """What a rule needs of a reference that this one has not; None where it fits."""
    if rule == "number" and len(numbers(reference)) != 1:
        return "is not one number"
    if rule == "letter" and not re.fullmatch(r"\(?[A-Z]\)?", reference.strip()):
        return "is not one capital letter"
    return None if reference.strip() else "is empty"


def _fits(rule: AnswerRule, found: Sequence[Any], reference: str) -> bool:
    if rule == "number":
        return numbers(reference) == list(found)
    if rule == "letter":
        return [reference.strip().strip("()")] == list(found)
    if rule == "contains":
        return any(_bare(reference) in text for text in found)
    return _bare(reference) in found


def _wholes(_: str, answer: str) -> list[str]:
    """The answer as a whole, and what it says is the answer."""
    text = own_answer(answer)
    stated = boxed(text) or marked(text)
    texts = [text, first_line(plain(stated))] if stated else [text]
    return [bare for each in texts if (bare := _bare(each))]


def _all_of_it(_: str, answer: str) -> list[str]:
    return [bare] if (bare := _bare(answer)) else []


def _number(_: str, answer: str) -> list[Any]:
    found = final_number(answer)
    return [] if found is None else [found]


def _letter(prompt: str, answer: str) -> list[str]:
    options = dict(_OPTION.findall(prompt)) or _LETTERS
    found = (chosen_letter(part, options) for part in statements(answer))
    return [letter for letter in [next(filter(None, found), None)] if letter]


def _bare(text: str) -> str:
    """Text in lower case, without emphasis, with single spaces, without quotes around it and a full stop behind it."""
    return " ".join(plain(text).split()).casefold().strip("\"' ").removesuffix(".").strip("\"' ")


_FOUND: dict[AnswerRule, Callable[[str, str], Sequence[Any]]] = {
    "exact": _wholes,
    "number": _number,
    "letter": _letter,
    "contains": _all_of_it,
}
