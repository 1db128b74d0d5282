"""Conversations on a terminal: cut to fit, and without control characters."""

import textwrap

from selection_platform.text.printable import printable

WIDTH = 80


def first_line(text: str | None, width: int) -> str:
    """The first line of a text that is not blank, cut to `width` characters with `...` at the end."""
    lines = (line.strip() for line in printable(text or "").splitlines())
    return _shortened(next((line for line in lines if line), ""), width)


def shown(text: str, most: int | None, for_all: str = " (--full shows all)") -> str:
    """A text, wrapped and indented. A longer text is cut, and the number of characters left is added.

    Args:
        text: the text.
        most: characters to show; None for all.
        for_all: text that says how to see the rest.
    """
    part = printable(text if most is None else text[:most])
    lines = [piece for line in part.splitlines() for piece in textwrap.wrap(line, WIDTH - 2) or [""]]
    left = len(text) - len(text[:most])
    if left:
        lines.append(f"... {left:,} more characters{for_all}")
    return textwrap.indent("\n".join(lines), "  ", lambda line: bool(line.strip()))


def wrapped(text: str) -> str:
    """A text in lines that fit, all but the first indented."""
    return textwrap.fill(printable(text), WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."
