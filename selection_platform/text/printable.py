"""Strangers' texts where somebody reads them: on a terminal, and in Markdown.

Rows and models come from anywhere. What they say must not move a cursor, turn the line round or become a link.
"""

import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`|\[\]*_~])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def printable(text: str) -> str:
    """A text without what could change how a terminal shows the rest, such as escape sequences and bidi controls."""
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    category = unicodedata.category(character)
    # Other spaces, and characters that have no width.
    return {"Z": " ", "Cf": ""}.get(category[0] if category[0] == "Z" else category, "\N{REPLACEMENT CHARACTER}")


def printable_json(document: str) -> str:
    """A JSON document whose texts have such characters as escapes: the same document to whoever parses it."""
    if document.isprintable():
        return document
    # Outside of texts JSON has no character that is not printable, but for the ends of lines.
    return "".join(map(_json_character, document))


def _json_character(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place] << 8 | units[place + 1]:04x}" for place in range(0, len(units), 2))


def markdown_text(text: object) -> str:
    """A text in one line of Markdown, such as a cell of a table, that is only a text: no HTML, no link, no column."""
    line = " ".join(printable(str(text)).split())
    return _MARKDOWN.sub(r"\\\1", "".join(_HTML.get(character, character) for character in line))
