"""Tool definitions, calls and results as text, in the tags of Hermes' function calling, which Qwen's templates share.

Definitions stand behind the system message, calls behind the assistant's text, results in the user's turn. Source: the
chat templates of NousResearch/Hermes-2-Pro-Llama-3-8B and Qwen/Qwen2.5-7B-Instruct. Their sentences that explain the
format to a model are not in the data, and so not in the text.
"""

from typing import Any

from selection_platform.pools.forms.texts import is_blank, json_line, parsed_json

CALL_FIELDS = ("tool_calls", "function_call", "function_calls")
DEFINITION_FIELDS = ("tools", "functions")
HAS_TOOLS = "has tools"

_OF_A_CALL = frozenset({"function", "name", "arguments", "input", "id", "type", "index"})
"""What a call consists of; ids, types and places are no part of the text."""


def definitions(value: Any) -> list[str]:
    """Each definition of a list, or of its text, on a line of its own."""
    return [] if is_blank(value) else [_line(each) for each in _each(value)]


def definitions_block(lines: list[str]) -> str:
    """The `<tools>` block of definitions."""
    return "\n".join(["<tools>", *lines, "</tools>"])


def calls(value: Any) -> list[str]:
    """A `<tool_call>` block for each call of a list, of one call, or of their text."""
    return [] if is_blank(value) else [_tagged("tool_call", _call(each)) for each in _each(value)]


def result(text: str) -> str:
    """The `<tool_response>` block of a result."""
    return _tagged("tool_response", text)


def _tagged(tag: str, text: str) -> str:
    """A text in tags; one that has them already, as those of Hermes' own data have, stays as it is."""
    return text if text.lstrip().startswith(f"<{tag}>") else f"<{tag}>\n{text}\n</{tag}>"


def _each(value: Any) -> list[Any]:
    """The items of a list or of the text of one; anything else is one item, as it was written."""
    found = parsed_json(value) if isinstance(value, str) else value
    if isinstance(value, str) and (found == {} or value.strip() == "null"):
        return []
    return [each for each in found if not is_blank(each)] if isinstance(found, list) else [value]


def _call(call: Any) -> str:
    """A call as JSON, with name and arguments; one that says more, or other things, as it is."""
    function = call.get("function", call) if isinstance(call, dict) else call
    if not isinstance(function, dict) or "name" not in function or _says_more(call, function):
        return _line(call)
    arguments = function.get("arguments", function.get("input", {}))
    # Arguments that are JSON text already stay as they were written.
    is_json = isinstance(arguments, str) and isinstance(parsed_json(arguments), dict)
    return f'{{"name": {json_line(function["name"])}, "arguments": {arguments if is_json else json_line(arguments)}}}'


def _says_more(call: dict[str, Any], function: dict[str, Any]) -> bool:
    parts = {**call, **function}
    return any(name not in _OF_A_CALL and not is_blank(value) for name, value in parts.items())


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json_line(value)
