"""BBH's verdict on one answer (Suzgun et al. 2022, arXiv 2210.09261): is its final answer the target?

What an answer may be follows from the item: a letter of its options, one of two words, a number, sorted words, or
closing brackets. Beside our rule stands lm-eval's, which the published numbers follow.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selection_platform.evaluation.final_answer import boxed, marked, own_answer, plain, statements
from selection_platform.evaluation.gsm8k import final_number
from selection_platform.evaluation.letters import chosen_letter

# lm-eval's pattern: the last character, the full stop of the worked examples, is not part of the answer.
_STRICT = re.compile(r"(?<=the answer is )(.*)(?=.)")
_OPTION = re.compile(r"^\(([A-Z])\) (.*)$", re.MULTILINE)
_PAIRS = (("yes", "no"), ("true", "false"), ("valid", "invalid"))
_OTHERWISE = {"valid": "valid", "invalid": "invalid", "plausible": "yes", "implausible": "no", "correct": "true"}
_NEGATED = re.compile(r"\b(?:not|never|\w+n['\u2019]t)\s+(?:\w+ly\s+)?(valid|true|plausible|false|invalid|correct)\b")
_OPPOSITE = {"valid": "invalid", "invalid": "valid", "true": "false", "false": "true", "plausible": "implausible",
             "correct": "false"}  # fmt: skip
_LISTED = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s|,", re.MULTILINE)
_FILLERS = re.compile(r"\b(?:and|then)\b|^\s*(?:\d+[.)]|[-*•])\s+", re.IGNORECASE | re.MULTILINE)

Reader = Callable[[str], str | None]
"""Gives the answer that a text ends up with, in the form of targets; None where it has none."""


def check_reasoned(item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """The verdict on an answer with reasoning steps; lm-eval calls it by the name in `tasks/bbh.yaml`.

    Returns:
        Each 1.0 or 0.0. `equal_answer`: ours. `strict_match`: lm-eval's. `answer_found`: whether one was found at all.
    """
    found = _STRICT.search(answers[0])
    return _scores(item, answers[0], found is not None and found[1].strip() == item["target"])


def check_direct(item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """The same for an answer alone, which lm-eval compares as a whole; see `tasks/bbh_direct.yaml`."""
    return _scores(item, answers[0], answers[0].strip() == item["target"])


def _scores(item: Mapping[str, Any], answer: str, strict: bool) -> dict[str, float]:
    found = final_answer(item, answer)
    same = found is not None and found == _normal(item["target"])
    return {"equal_answer": float(same), "strict_match": float(strict), "answer_found": float(found is not None)}


def final_answer(item: Mapping[str, Any], answer: str) -> str | None:
    """What an answer to an item ends up with, in the form of targets in lower case; None where nothing is found."""
    text, question, target = own_answer(answer), str(item["input"]), str(item["target"])
    if target[:1] in "([{<)]}>" and not _OPTION.search(question):
        return _brackets(text, question)
    if re.fullmatch(r"-?\d+", target):
        number = final_number(text)
        return None if number is None else str(number)
    if question.startswith("Sort the following words"):
        return _sorted_words(text)
    pair = next((pair for pair in _PAIRS if target.lower() in pair), None)
    options = dict(_OPTION.findall(question))
    read: Reader = (lambda part: _word(part, pair)) if pair else (lambda part: _letter(part, options))
    return next((found for part in statements(text) if (found := read(part)) is not None), None)


def _normal(target: str) -> str:
    if re.fullmatch(r"\([A-Z]\)", target):
        return target.lower()
    return "".join(target.split()) if target[:1] in "([{<)]}>" else target.lower()


def _letter(part: str, options: Mapping[str, str]) -> str | None:
    letter = chosen_letter(part, options)
    return letter and f"({letter.lower()})"


def _word(part: str, pair: tuple[str, str]) -> str | None:
    """The word of a pair, such as yes and no, that a part of an answer says first."""
    said = _NEGATED.sub(lambda found: _OPPOSITE[found[1]], part.lower())
    for word in re.findall(r"[a-z]+", said):
        meant = word if word in pair else _OTHERWISE.get(word)
        if meant in pair:
            return meant
    return None


def _sorted_words(text: str) -> str | None:
    """The words of the list that stands behind the mark, or in the last paragraph that lists any."""
    behind_mark = boxed(text) or marked(text)
    paragraphs = [part for part in re.split(r"\n\s*\n", (behind_mark or plain(text)).strip()) if part.strip()]
    if not paragraphs:
        return None
    lists = [part for part in paragraphs if _LISTED.search(part)]
    paragraph = paragraphs[0] if behind_mark else (lists or paragraphs)[-1]
    words = re.findall(r"[a-z][a-z'&.-]*[a-z]|[a-z]", _FILLERS.sub(" ", paragraph.rpartition(":")[2]).lower())
    return " ".join(words) or None


def _brackets(text: str, question: str) -> str | None:
    """The closing brackets; what repeats the whole sequence of the question is taken away."""
    given = "".join(re.findall(r"[][(){}<>]", question.partition("Input:")[2]))
    for part in statements(text):
        found = "".join(re.findall(r"[][(){}<>]", part))
        if found:
            return found.removeprefix(given) if len(found) > len(given) else found
    return None
