"""GSM8K's verdict on one answer (Cobbe et al. 2021, arXiv 2110.14168): is its final answer the reference's number?

Beside ours stand two rules whose numbers are published: lm-eval's strict rule of gsm8k_cot, and the last number of the
text (lm-eval's flexible-extract, Open-Instruct's and the paper's).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from selection_platform.evaluation.final_answer import boxed, first_line, marked, own_answer, plain, sentences
from selection_platform.evaluation.numbers_in_text import number_words, numbers

# lm-eval's own patterns, and what its exact_match takes away on both sides.
_STRICT = re.compile(r"The answer is (\-?[0-9\.\,]+).")
_LAST = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_TAKEN_AWAY = re.compile(r",|\$|\.$")

_HASHES = re.compile(
    r"^[ \t]*####[ \t]*(?!\d+[.)]\s+\S)([-\u2212\u2013]?[$€£¥]?[-\u2212\u2013]?\.?\d[^\n]*)", re.MULTILINE
)
_REASON = re.compile(r"\s*[(;]|,?\s+(?:because|since|which|as)\b")
# What a sentence says beside its point: in brackets, how and why, in which time, at which price, in other units.
_ASIDE = re.compile(
    r"\([^)]*\)|\b(?:by|from) \w+ing\b[^,]*|\b(?:because|since|if|when|after|assuming|given that|out of)\b[^,]*"
    r"|\bof (?:the|these|those|his|her|their)\b[^,=]*|\bfor (?:the|all|each|every|these|those|his|her|their)\b[^,=]*"
    r"|\b(?:for|at) [$€£¥][\d.,]+ (?:each|apiece|per|an?)\b[^,]*|\bat the end\b[^,]*"
    r"|\b(?:in|over|for) (?:\d+|an?|one|two|three|four|five|six|seven) (?:minute|hour|day|week|month|year)s?\b"
    r"|,\s+(?:which|or|i\.e\.|that is)\b.*|\bthan\b[^,]*",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*(.+?)\*\*")
# A line that is a number and at most three words, without a sum in it.
_BARE = re.compile(r"[-\u2212\u2013]?[$€£¥]?\s?[-\u2212\u2013]?[\d.,]*\d%?(?:\s+[A-Za-z]+){0,3}[.!]?")


def check_number(item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """Each 1.0 or 0.0; lm-eval calls it by the name in `tasks/gsm8k.yaml`.

    Returns:
        `equal_number`: ours. `strict_match` and `last_number`: see the module. `answer_found`: whether a final answer
        was found at all.
    """
    reference = str(item["answer"]).split("####")[-1].strip()
    found = final_number(answers[0])
    return {
        "equal_number": float(found is not None and [found] == numbers(reference)[-1:]),
        "strict_match": float(strict_match(answers[0], reference)),
        "last_number": float(last_number(answers[0], reference)),
        "answer_found": float(found is not None),
    }


def final_number(answer: str) -> Fraction | None:
    r"""The number that an answer ends up with; None where it has none.

    Looked for behind "####", in `\boxed{}`, behind "the answer is" and the like, on a first line that is a number
    alone, and in the last sentence that has a number: there in bold, behind the last "=", or else the last one that
    does not stand in brackets, or behind words such as "because".
    """
    return next(_finds(own_answer(answer)), None)


def _finds(text: str) -> Iterator[Fraction]:
    behind_hashes = _HASHES.findall(text)
    if behind_hashes:
        yield from numbers(behind_hashes[-1])[:1]
    box = boxed(text)
    if box is not None:
        yield from numbers(plain(box))[-1:]
    statement = marked(text)
    if statement is not None:
        yield from _stated(statement)
    opening = first_line(plain(text))
    if _BARE.fullmatch(opening):
        yield from numbers(opening)
    if len(opening.split()) <= 3:
        yield from number_words(opening)
    for sentence in reversed(sentences(text)):
        bold = [number for part in _BOLD.findall(sentence) for number in numbers(part)[-1:]]
        yield from bold[-1:] or _point(plain(sentence))


def _stated(statement: str) -> list[Fraction]:
    """The first number of what is said to be the answer, without its reason; behind the last "=" where it is a sum."""
    sentence = next(iter(sentences(first_line(statement))), "")
    said = _REASON.split(sentence)[0]
    return (_behind_sums(said) or number_words(said) or _behind_sums(sentence))[:1]


def _point(sentence: str) -> list[Fraction]:
    """The number that a sentence comes to: behind its last "=", or else its last one, without what it says beside."""
    *sums, rest = re.split(r"[=≈]", sentence)
    if sums:
        return numbers(rest)[:1] or numbers(sentence)[-1:]
    return numbers(_ASIDE.sub("", sentence))[-1:] or numbers(sentence)[-1:]


def _behind_sums(sentence: str) -> list[Fraction]:
    """The numbers behind the last "=" of a sentence; all of them where there is none."""
    return numbers(re.split(r"[=≈]", sentence)[-1]) or numbers(sentence)[-1:]


def strict_match(answer: str, reference: str) -> bool:
    """lm-eval's rule for gsm8k_cot: the first number behind "The answer is", of one character more than it has."""
    found = _STRICT.search(answer.split("Q:")[0])
    return found is not None and _as_compared(found[1].strip()) == _as_compared(reference)


def last_number(answer: str, reference: str) -> bool:
    """lm-eval's rule flexible-extract: the last thing that looks like a number."""
    found = _LAST.findall(answer)
    return bool(found) and _as_compared("".join(found[-1]).strip()) == _as_compared(reference)


def _as_compared(text: str) -> str:
    return _TAKEN_AWAY.sub("", text).lower()
