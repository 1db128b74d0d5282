"""Tool definitions, calls and results as text, with the tags of Hermes' function calling, which Qwen's templates share.

Definitions follow the system message, calls follow the assistant's text, and results are in the user's turn. Source:
the chat templates of NousResearch/Hermes-2-Pro-Llama-3-8B and Qwen/Qwen2.5-7B-Instruct. Their sentences that explain
the format to a model are not in the data, so they are not in the text.
"""

from typing import Any

from selection_platform.pools.forms.texts import is_blank, json_line, parsed_json

CALL_FIELDS = ("tool_calls", "function_call", "function_calls")
DEFINITION_FIELDS = ("tools", "functions")
HAS_TOOLS = "has tools"

_OF_A_CALL = frozenset({"function", "name", "arguments", "input", "id", "type", "index"})
"""Fields of a call; ids, types and indexes are not part of the text."""


def definitions(value: Any) -> list[str]:
    """The definitions of a list, or of its JSON text, one line each."""
    return [] if is_blank(value) else [_line(item) for item in _items(value)]


def definitions_block(lines: list[str]) -> str:
    """The `<tools>` block of definitions."""
    return "\n".join(["<tools>", *lines, "</tools>"])


def calls(value: Any) -> list[str]:
    """A `<tool_call>` block for each call: of a list, a single call, or their JSON text."""
    return [] if is_blank(value) else [_tagged("tool_call", _call(item)) for item in _items(value)]


def result(text: str) -> str:
    """The `<tool_response>` block of a result."""
    return _tagged("tool_response", text)


def _tagged(tag: str, text: str) -> str:
    """A text in tags. A text that already has them, as in Hermes' own data, stays unchanged."""
    return text if text.lstrip().startswith(f"<{tag}>") else f"<{tag}>\n{text}\n</{tag}>"


def _items(value: Any) -> list[Any]:
    """The items of a list, or of its JSON text. Any other value is a single item, unchanged."""
    parsed = parsed_json(value) if isinstance(value, str) else value
    if isinstance(value, str) and (parsed == {} or value.strip() == "null"):
        return []
    return [item for item in parsed if not is_blank(item)] if isinstance(parsed, list) else [value]


def _call(call: Any) -> str:
    """A call as JSON, with name and arguments. A call with other fields is written whole."""
    function = call.get("function", call) if isinstance(call, dict) else call
    if not isinstance(function, dict) or "name" not in function or _says_more(call, function):
        return _line(call)
    arguments = function.get("arguments", function.get("input", {}))
    # Arguments that are already JSON text stay unchanged.
    is_json = isinstance(arguments, str) and isinstance(parsed_json(arguments), dict)
    return f'{{"name": {json_line(function["name"])}, "arguments": {arguments if is_json else json_line(arguments)}}}'


def _says_more(call: dict[str, Any], function: dict[str, Any]) -> bool:
    parts = {**call, **function}
    return any(name not in _OF_A_CALL and not is_blank(value) for name, value in parts.items())


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json_line(value)
