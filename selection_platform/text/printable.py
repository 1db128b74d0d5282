"""A stranger's text, shown without what could change how the rest is shown."""

import unicodedata


def printable(text: str) -> str:
    """A text without what a terminal or a page would obey, such as escape sequences and turns of the writing direction.

    Line breaks and tabs stay, other spaces become blanks, characters without width are left out, and the others are
    replaced by U+FFFD.
    """
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    category = unicodedata.category(character)
    # Other spaces, and characters that have no width.
    return {"Z": " ", "Cf": ""}.get(category[0] if category[0] == "Z" else category, "\N{REPLACEMENT CHARACTER}")
