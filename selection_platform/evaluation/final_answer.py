"""Where the final answer of a chat answer stands: behind "the answer is", in a box, or at its end.

Pure functions on text, without lm-eval and torch. They look at the answer alone, never at the reference.
"""

import re
from collections.abc import Iterator

_NEXT_QUESTION = re.compile(r"\n\s*(?:\*\*)?(?:Q|Question|Human|User)(?: \d+)?(?:\*\*)?:")
_BOX = re.compile(r"\\boxed\s*\{")
_WRAPPERS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\s*\{([^{}]*)\}")
_EMPHASIS = re.compile(r"\*\*|__|`|(?<![\w*])\*(?=[^*\s][^*\n]*\*(?![\w*]))|(?<=[^\s*])\*(?=$|[.,;:!?\s])")
# "the answer is", "the correct answer would be:", "Answer:", "answer = ", "the answer to the question is".
_MARK = re.compile(
    r"\banswer\b(?:\s+(?:to|for|of)\b[^.:\n]{0,80}?)?\s*(?:(?:is|(?:would|should|must|will) be)\b\s*:?|:|=)[ \t]*",
    re.IGNORECASE,
)
# "To find the answer: ..." says what follows, and not the answer.
_SOUGHT = re.compile(
    r"\b(?:find|get|calculate|determine|compute|reach|obtain|verify|check|give|give you|arrive at)\s+"
    r"(?:(?:the|our|your|my)\s+)?(?:(?:final|correct|right)\s+)?$",
    re.IGNORECASE,
)
_NOT = re.compile(r"(?:not|n't|neither|unclear|unknown)\b", re.IGNORECASE)
_CLOSING = re.compile(
    r"\b(?:let me know|hope (?:this|that|it)|feel free|if you(?:'d| would)? (?:have|like|need|want)|would you like"
    r"|anything else|any (?:other|more|further) questions?|happy to help|glad to help|good luck"
    r"|note(?: that|:)|this assumes|assuming that|keep in mind|to (?:double-)?(?:check|verify))\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\b(?:step|part|question|example|method|case)\s+#?\d+\b\s*[:.)]?", re.IGNORECASE)
_LIST_NUMBER = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+(?=\S)", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+|\n+")


def own_answer(text: str) -> str:
    """The answer without what follows it where a model goes on with a question of its own."""
    text = text.strip()
    following = _NEXT_QUESTION.search(text)
    return text[: following.start()] if following else text


def plain(text: str) -> str:
    """Text without the signs of Markdown's emphasis and code, and without LaTeX's words around text."""
    return _EMPHASIS.sub("", _WRAPPERS.sub(r"\1", text))


def boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{}`; None where there is none."""
    found = list(_BOX.finditer(text))
    if not found:
        return None
    depth, start = 1, found[-1].end()
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return text[start:]


def marked(text: str) -> str | None:
    """What stands behind the last mark of an answer, to the end of the text; None where there is no mark.

    A mark is "the answer is", "Answer:" and the like. One that says what the answer is not is none.
    """
    bare = plain(text)
    marks = [mark for mark in _MARK.finditer(bare) if not _SOUGHT.search(bare, max(mark.start() - 60, 0), mark.start())]
    behind = [bare[mark.end() :].lstrip(" \t\n:") for mark in marks]
    stated = [piece for piece in behind if piece and not _NOT.match(piece)]
    return stated[-1] if stated else None


def first_line(text: str) -> str:
    """The first line, without white space around it; empty where the text is."""
    return text.strip().partition("\n")[0].strip()


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the numbers of steps and lists; a line is a sentence at least.

    Left out are those that only say goodbye, note or check something, and those that say what the answer is not.
    """
    text = _LABEL.sub("", text)
    if len(_LIST_NUMBER.findall(text)) > 1:
        text = _LIST_NUMBER.sub("", text)
    parts = (part.strip() for part in _SENTENCE_END.split(text))
    return [part for part in parts if part and not _CLOSING.search(part) and not _says_not(part)]


def _says_not(sentence: str) -> bool:
    bare = plain(sentence)
    marks = list(_MARK.finditer(bare))
    return bool(marks) and _NOT.match(bare, marks[-1].end()) is not None


def statements(text: str) -> Iterator[str]:
    """Where the final answer may stand, surest first: in a box or behind a mark, and else in some line.

    A first line of few words counts before the last sentence: what follows explains it.
    """
    text = own_answer(text)
    piece = boxed(text) or marked(text)
    if piece:
        yield first_line(plain(piece))
        return
    bare = plain(text)
    opening = first_line(bare)
    if 0 < len(opening.split()) <= 4:
        yield opening
    yield from reversed(sentences(bare))
