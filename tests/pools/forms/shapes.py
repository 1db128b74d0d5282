"""A row of each shape that public data sets have, invented, and what is read of it, written by hand."""

import json
from typing import Any, NamedTuple

Record = dict[str, Any]


class Shape(NamedTuple):
    """A row, what is read of it, and what is left out."""

    name: str
    row: Record
    messages: list[tuple[str, str]]
    form: str
    trimmed: tuple[str, ...] = ()
    untrained: tuple[int, ...] = ()


def turn(role: str, content: object, **fields: object) -> Record:
    return {"role": role, "content": content, **fields}


def said(who: str, value: str, **fields: object) -> Record:
    return {"from": who, "value": value, **fields}


def node(name: str, parent: str | None, role: str, text: object, **fields: object) -> Record:
    """A message of ChatGPT's export. A content may be given whole."""
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    message = {"id": name, "author": {"role": role, "name": None}, "content": content, "recipient": "all", **fields}
    return {name: {"id": name, "message": message, "parent": parent, "children": []}}


CHAT = [turn("user", "Name a prime."), turn("assistant", "Seven.")]
SHAREGPT = [said("human", "Name a prime."), said("gpt", "Seven.")]
READ = [("user", "Name a prime."), ("assistant", "Seven.")]
TERSE = [("system", "Be terse."), *READ]
ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
TOOLS = '<tools>\n{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}\n</tools>'
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1,  "b":2}'}}
CALLED = '<tool_call>\n{"name": "add", "arguments": {"a":1,  "b":2}}\n</tool_call>'
GAVE = "<tool_response>\n3\n</tool_response>"

SHAPES = [
    Shape(
        "OpenHermes-2.5",
        {
            "conversations": [
                said("system", "Be terse.", weight=None),
                said("human", "Name a prime.", weight=0.0),
                said("gpt", "Seven.", weight=1.0),
            ],
            "source": "airoboros", "category": "orca", "system_prompt": "Be terse.", "skip_prompt_formatting": False,
        },
        TERSE, "sharegpt",
    ),
    Shape(
        "WildChat-1M",
        {
            "conversation": [{**each, "language": "English", "toxic": False, "redacted": False} for each in CHAT],
            "language": "English", "model": "gpt-4", "timestamp": "2023-04-09 00:00:00", "turn": 1,
        },
        READ, "messages",
    ),
    Shape("tulu-3-sft-mixture", {"id": "t1", "messages": CHAT, "source": "flan"}, READ, "messages"),
    Shape("ultrachat_200k", {"prompt": "Name a prime.", "prompt_id": "p", "messages": CHAT}, READ, "messages"),
    Shape(
        "no_robots",
        {"prompt": "Name a prime.", "prompt_id": "p", "messages": CHAT, "category": "Closed QA"},
        READ, "messages",
    ),
    Shape(
        "SlimOrca",
        {"conversations": [said("human", "Name a prime.", weight=0.0), said("gpt", "Seven.", weight=1.0)]},
        READ, "sharegpt",
    ),
    Shape(
        "OpenOrca",
        {"id": "flan.1", "system_prompt": "Be terse.", "question": "Name a prime.", "response": "Seven."},
        TERSE, "columns",
    ),
    Shape(
        "databricks-dolly-15k",
        {"instruction": "Which is prime?", "context": "6, 7", "response": "Seven.", "category": "closed_qa"},
        [("user", "Which is prime?\n\n6, 7"), ("assistant", "Seven.")], "columns",
    ),
    Shape("LIMA", {"conversations": ["Name a prime.", "Seven."], "source": "wikihow"}, READ, "strings"),
    Shape(
        "Capybara",
        {"source": "Airoboros", "conversation": [{"input": "Name a prime.", "output": "Seven."}]},
        READ, "pairs",
    ),
    Shape("smoltalk", {"messages": CHAT, "source": "smol-magpie-ultra"}, READ, "messages"),
    Shape(
        "smoltalk2",
        {
            "messages": CHAT, "source": "tulu",
            "chat_template_kwargs": {
                "custom_instructions": "Be terse.", "enable_thinking": False, "python_tools": [],
                "xml_tools": [json.dumps(ADD)],
            },
        },
        [("system", f"Be terse.\n\n{TOOLS}"), *READ], "messages",
    ),
    Shape(
        "OpenThoughts-114k",
        {"system": "Be terse.", "conversations": [said("user", "Name a prime."), said("assistant", "Seven.")]},
        TERSE, "sharegpt",
    ),
    Shape(
        "OpenThoughts3-1.2M",
        {"difficulty": 8, "source": "s", "domain": "math", "conversations": SHAREGPT},
        READ, "sharegpt",
    ),
    Shape(
        "magpie-pro-300k",
        {"uuid": "u", "conversations": SHAREGPT, "instruction": "Name a prime.", "response": "Seven."},
        READ, "sharegpt",
    ),
    Shape("magpie-ultra", {"instruction": "Name a prime.", "response": "Seven.", "score": 5.0}, READ, "columns"),
    Shape("OpenO1-SFT", {"prompt": "Name a prime.", "response": "Seven."}, READ, "columns"),
    Shape(
        "lmsys-chat-1m",
        {
            "conversation_id": "c", "model": "vicuna-13b", "conversation": CHAT, "language": "English", "turn": 1,
            "openai_moderation": [{"flagged": False}], "redacted": False,
        },
        READ, "messages",
    ),
    Shape(
        "Infinity-Instruct",
        {"id": 1, "conversations": SHAREGPT, "label": {"ability_en": ["math"]}, "langdetect": "en", "source": "s"},
        READ, "sharegpt",
    ),
    Shape(
        "Dolci",
        {
            "messages": [
                turn("system", "Be terse.", function_calls=None, functions=json.dumps([ADD])),
                turn("user", "1 + 2?", function_calls=None, functions=None),
                turn("assistant", None, function_calls="add(a=1, b=2)", functions=None),
                turn("environment", "3", function_calls=None, functions=None),
                turn("assistant", "Three.", function_calls=None, functions=None),
            ]
        },
        [
            ("system", f"Be terse.\n\n{TOOLS}"), ("user", "1 + 2?"),
            ("assistant", "<tool_call>\nadd(a=1, b=2)\n</tool_call>"), ("user", GAVE), ("assistant", "Three."),
        ],
        "messages",
    ),
    Shape(
        "Nemotron post-training",
        {"uuid": "u", "license": "CC", "generator": "R1", "category": "math", "reasoning": "on", "messages": CHAT},
        READ, "messages",
    ),
    Shape(
        "Llama-Nemotron",
        {"input": CHAT[:1], "output": "Seven.", "category": "math", "license": "CC", "reasoning": "off"},
        READ, "columns",
    ),
    Shape("prompt and completion, texts", {"prompt": "Name a prime.", "completion": "Seven."}, READ, "columns"),
    Shape("prompt and completion, messages", {"prompt": CHAT[:1], "completion": CHAT[1:]}, READ, "columns"),
    Shape(
        "preferences with the prompt in both",
        {"chosen": CHAT, "rejected": [CHAT[0], turn("assistant", "Nine.")]},
        READ, "messages", ("field rejected left out",),
    ),
    Shape(
        "preferences with a prompt of their own",
        {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": [turn("assistant", "Nine.")]},
        READ, "columns", ("field rejected left out",),
    ),
    Shape(
        "OpenAI fine-tuning",
        {
            "messages": [
                turn("system", "Be terse."),
                turn("user", "1 + 2?"),
                turn("assistant", None, tool_calls=[CALL], weight=1),
                turn("tool", "3", tool_call_id="c1"),
                turn("assistant", "3", weight=0),
                turn("user", "In words?"),
                turn("assistant", "Three.", weight=1),
            ],
            "tools": [ADD],
        },
        [
            ("system", f"Be terse.\n\n{TOOLS}"), ("user", "1 + 2?"), ("assistant", CALLED), ("user", GAVE),
            ("assistant", "3"), ("user", "In words?"), ("assistant", "Three."),
        ],
        "messages", (), (4,),
    ),
    Shape(
        "content as parts",
        {
            "messages": [
                turn("user", [{"type": "text", "text": "Name "}, {"type": "text", "text": "a prime."}]),
                turn("assistant", [{"type": "text", "text": "Seven."}]),
            ]
        },
        READ, "messages",
    ),
    Shape(
        "old Sequence of struct",
        {"conversations": {"from": ["human", "gpt"], "value": ["Name a prime.", "Seven."]}},
        READ, "sharegpt",
    ),
    Shape(
        "ChatGPT's export",
        {
            "title": "Primes", "create_time": 1.5, "current_node": "a2", "conversation_id": "c",
            "mapping": {
                "root": {"id": "root", "message": None, "parent": None, "children": ["s"]},
                **node("s", "root", "system", "", metadata={"is_visually_hidden_from_conversation": True}),
                **node("u", "s", "user", "Name a prime."),
                **node("a1", "u", "assistant", "Nine."),
                **node("a2", "u", "assistant", "Seven."),
            },
        },
        READ, "chatgpt", ("other branches left out",),
    ),
    Shape(
        "Claude's export",
        {
            "uuid": "c", "name": "Primes", "created_at": "2025-01-01", "account": {"uuid": "a"},
            "chat_messages": [
                {
                    "uuid": sender, "text": text, "content": [{"type": "text", "text": text, "citations": []}],
                    "sender": sender, "created_at": "2025-01-01", "attachments": [], "files": [],
                }
                for sender, text in (("human", "Name a prime."), ("assistant", "Seven."))
            ],
        },
        READ, "messages",
    ),
    *(
        Shape(
            f"a list of {role}, {text}",
            {"talk": [{role: "user", text: "Name a prime."}, {role: "assistant", text: "Seven."}]},
            READ, "messages" if (role, text) != ("from", "value") else "sharegpt",
        )
        for role in ("role", "from", "sender", "author", "speaker")
        for text in ("content", "value", "text", "message", "utterance")
    ),
    Shape("messages as JSON text", {"messages": json.dumps(CHAT)}, READ, "messages"),
    Shape(
        "alpaca",
        {
            "instruction": "Which is prime?", "input": "6, 7", "output": "Seven.", "system": "Be terse.",
            "history": [["Hi", "Hello"]],
        },
        [
            ("system", "Be terse."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Which is prime?\n\n6, 7"),
            ("assistant", "Seven."),
        ],
        "columns",
    ),
]  # fmt: skip

OASST = [
    {"message_id": name, "parent_id": parent, "text": text, "role": role, "lang": "en", "rank": rank, **flags}
    for name, parent, text, role, rank, flags in [
        ("q", None, "Name a prime.", "prompter", None, {"deleted": False, "review_result": True}),
        ("a2", "q", "Two?", "assistant", 1, {"deleted": False, "review_result": True}),
        ("a1", "q", "Seven.", "assistant", 0, {"deleted": False, "review_result": True}),
        ("a0", "q", "Nine.", "assistant", None, {"deleted": True, "review_result": True}),
        ("u0", "a1", "Spam", "prompter", None, {"deleted": False, "review_result": False}),
        ("u1", "a1", "Thanks", "prompter", None, {"deleted": False, "review_result": True}),
        ("u2", "a1", "Why?", "prompter", None, {"deleted": False, "review_result": True}),
        ("b1", "u2", "No factors.", "assistant", None, {"deleted": False, "review_result": True}),
    ]
]
"""A tree as oasst1 and oasst2 have it, one message a row."""
