"""The option that a part of an answer names: (B), B, B), option B, or the option's text. Pure functions on text."""

import re
from collections.abc import Mapping

_BRACKETED = re.compile(r"(?<!\w)\(([A-Z])\)")
_NAMED = re.compile(r"\b(?:option|choice|choose|pick|select)\s+\(?([B-Z]\b|A\b(?!\s+[a-z]))", re.IGNORECASE)
# A letter without brackets: alone, or before a sign that ends it. "A" is also a word.
_ALONE = re.compile(r"([A-Z])(?:\s*$|\s*[).:,;]|\s+-\s|\s+(?:is|because|since)\b)", re.IGNORECASE)


def chosen_letter(part: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that a part of an answer names; None where it names none, or several by their texts.

    Args:
        part: without the signs of emphasis.
        options: text by letter; the text is empty where it is not known.
    """
    for pattern in (_BRACKETED, _NAMED):
        # "(B), not (A)": the first is stated.
        named = next((letter.upper() for letter in pattern.findall(part) if letter.upper() in options), None)
        if named:
            return named
    alone = _ALONE.match(part.strip().lstrip("("))
    if alone and alone[1].upper() in options:
        return alone[1].upper()
    return _by_text(part, options)


def _by_text(part: str, options: Mapping[str, str]) -> str | None:
    """The one option whose text stands in the part; of texts that hold each other, the longest."""
    said = f" {_words(part)} "
    texts = {letter: f" {_words(text)} " for letter, text in options.items() if _words(text)}
    inside = {letter: text for letter, text in texts.items() if text in said}
    longest = max(inside.values(), key=len, default="")
    if not inside or any(text not in longest for text in inside.values()):
        return None
    return next(letter for letter, text in inside.items() if text == longest)


def _words(text: str) -> str:
    return " ".join(re.findall(r"[\w$%.:/'-]*\w", text.lower()))
