"""The code of a chat answer that was asked to complete a function: found as people and chat models write it.

The answer goes on with a code block that already holds the problem's beginning: imports, signature and docstring. It
may go on with the body, as asked; or write the whole function again, in the same block or in one of its own after some
prose; and prose or examples may follow. What is taken is the first reading that is Python and gives the function a
body that gives something back. Nothing is run, no test is looked at, and nothing within a function is mended but its
indentation.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

_FENCE = re.compile(r"^[ \t]*```[^\n]*$", re.MULTILINE)
_KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
"""What stays at the top level. Examples, prints and assertions go: they may fail, or wait for input."""


def whole_program(prompt: str, answer: str, function: str) -> str | None:
    """The prompt's function as the answer completes it, with what it needs.

    Args:
        prompt: the problem's beginning, which ends behind a docstring.
        answer: what the model wrote.
        function: the function's name.

    Returns:
        A program that defines the function; None where the answer has no code for it.
    """
    before = _before(prompt, function)
    for code in _blocks(answer):
        # In this order: indented, a whole function would be the body of the one that was begun.
        for program in (f"{before}\n{code}", f"{prompt}{code}", *(f"{prompt}{body}" for body in _indented(code))):
            found = _definitions(program, function)
            if found is not None:
                return found
    return None


def _before(prompt: str, function: str) -> str:
    """What stands before the function: imports, and other functions that it may call."""
    return re.split(rf"^(?:async )?def {re.escape(function)}\b", prompt, maxsplit=1, flags=re.MULTILINE)[0]


def _blocks(answer: str) -> Iterator[str]:
    """The answer's code blocks, the one that was begun for it first: the first line of ``` closes it."""
    parts = _FENCE.split(answer)
    yield from parts[::2]
    # Where the model did not take the block for begun, its first ``` opens one.
    yield from parts[1::2]


def _indented(code: str) -> Iterator[str]:
    """A body that lost its indentation, or that of its first line alone; this last, as it also reads one line of it."""
    lines = code.lstrip("\n")
    yield textwrap.indent(textwrap.dedent(lines), "    ")
    yield f"    {lines}"


def _definitions(program: str, function: str) -> str | None:
    """The definitions, imports and assignments of a program, without what behind them is no Python.

    Returns:
        None where the function is not defined, or has no more than a docstring.
    """
    tree, lines = None, program.split("\n")
    while tree is None:
        tree = _parsed("\n".join(lines))
        if tree is None and not _drop_last(lines):
            return None
    if not any(_is_complete(node, function) for node in tree.body):
        return None
    kept = [node for node in tree.body if isinstance(node, _KEPT)]
    return "\n".join("\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in kept) + "\n"


def _drop_last(lines: list[str]) -> bool:
    """Drop the last of what begins at the margin, with all that is indented below it; False where nothing is left."""
    while lines and (not lines[-1].strip() or lines[-1][0] in " \t"):
        lines.pop()
    if lines:
        lines.pop()
    return bool(lines)


def _parsed(program: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            return ast.parse(program)
    # What a model writes may also hold a null character, or brackets within brackets without end.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_complete(node: ast.stmt, function: str) -> bool:
    """Whether it is the function, and gives anything back. A word such as "Sure" is Python too."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != function:
        return False
    return any(isinstance(inner, ast.Return | ast.Yield | ast.Raise) for inner in _own_nodes(node))


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes within a function, without those of functions and classes within it."""
    # Not by recursion: a long sum is a deep tree.
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        inner = waiting.pop()
        yield inner
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(inner)


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
