"""Write docs/profile.md and docs/profile.schema.json: every setting of a profile, from the classes that read it.

.venv/bin/python tools/write_profile_reference.py
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selection_platform.configuration.method_settings import MethodSettings
from selection_platform.configuration.profile import Profile
from selection_platform.configuration.settings import NAME_PATTERN
from selection_platform.experiments.methods import METHODS

DOCS = Path(__file__).parents[1] / "docs"
INTRODUCTION = """\
# Profile reference

A profile is one YAML file; see [the shipped profiles](../selection_platform/profiles) for examples. Unknown keys and
invalid values are errors: the message names the file, the key and what to write. Relative paths start from the
profile's folder. [`tools/write_profile_reference.py`](../tools/write_profile_reference.py) generates this page from the
classes that read a profile.

**Decides** says what happens when you change a setting:

- *content*: the result changes. Results with another value are stale, and `run` computes them again.
- *speed*: the time and memory of a computation change. Nothing becomes stale. Last digits may differ, because sums run
in
  another order.
- *upkeep*: where jobs run, when runs start, or what is kept changes. Nothing becomes stale.

**Editors** complete and check keys while you type, if the first line of a profile names
[`profile.schema.json`](profile.schema.json), by a path or URL. This works in VS Code with its YAML extension, and in
other editors that use yaml-language-server:

```yaml
# yaml-language-server: $schema=docs/profile.schema.json
```
"""
TABLE = "| setting | type | default | decides | meaning |\n|---|---|---|---|---|"
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"integer": "whole number", "boolean": "true or false", "string": "text", "number": "number"}

Schema = dict[str, Any]


def schema() -> Schema:
    """The JSON schema of a profile's file, as an editor needs it."""
    made = Profile.model_json_schema()
    # The file's name takes its place.
    made["required"].remove("name")
    made["properties"] = _methods_after("scoring", made["properties"])
    arms = made["properties"]["arms"]
    # A method with nothing behind it has the defaults.
    arms["additionalProperties"] = {"anyOf": [arms["additionalProperties"], {"type": "null"}]}
    # Arms with scores of the user's own, and their wrappers, have names of the user's choice.
    arms["propertyNames"] = {"anyOf": [{"enum": list(METHODS)}, {"pattern": f"^{NAME_PATTERN.pattern}$"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _methods_after(place: str, properties: Schema) -> Schema:
    """The fields of a profile as they are read: pydantic gives those of the methods first, which it inherits."""
    own = [name for name in properties if name not in MethodSettings.model_fields]
    after = own.index(place) + 1
    return {name: properties[name] for name in [*own[:after], *MethodSettings.model_fields, *own[after:]]}


def page(made: Schema) -> str:
    """The reference, one table for each part of a profile."""
    return "\n".join([INTRODUCTION, *_sections("", made, made["$defs"], "content")])


def _sections(path: str, part: Schema, parts: Schema, decides: str) -> Iterator[str]:
    """The table of a part, and those of the parts in it."""
    required = part.get("required", ())
    heading = f"## {path}\n\n{_line(part['description'])}" if path else "## The top of the file"
    rows = [
        _row(name, field | {"x-decides": field.get("x-decides", decides)}, name in required, _place(path, name, field))
        for name, field in part["properties"].items()
    ]
    yield "\n".join([heading, "", TABLE, *rows, ""])
    for name, field in part["properties"].items():
        if inner := _inner(field):
            yield from _sections(_place(path, name, field), parts[inner], parts, field.get("x-decides", decides))


def _row(name: str, field: Schema, required: bool, place: str) -> str:
    kind, default = _type(field), _value(field.get("default"))
    if _inner(field):
        anchor = re.sub(r"[^a-z0-9_-]", "", place.lower())
        kind, default = (
            f"[{kind}](#{anchor})",
            "see there" if isinstance(field.get("default"), dict) and default != "—" else default,
        )
    cells = [f"`{name}`", kind, "required" if required else default, field["x-decides"], _line(field["description"])]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _place(path: str, name: str, field: Schema) -> str:
    return ".".join([*([path] if path else []), name, *(["NAME"] if "additionalProperties" in field else [])])


def _inner(field: Schema) -> str | None:
    """The name of the part that a field holds: by itself, by names, or where it is not left out."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    within = [*_alternatives(field), *([field["additionalProperties"]] if "additionalProperties" in field else [])]
    return next((inner for each in within if (inner := _inner(each))), None)


def _type(field: Schema) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "$ref" in field:
        return "settings"
    alternatives = [f"`{value}`" for value in field.get("enum", ())]
    alternatives += [_type(each) for each in _alternatives(field) if each.get("type") != "null"]
    if alternatives:
        return " or ".join(alternatives)
    if field["type"] == "array":
        return f"list: {_type(field['items'])}"
    if field["type"] == "object":
        return f"by name: {_type(field['additionalProperties'])}"
    limits = [f"{sign} {field[name]:g}" for name, sign in LIMITS.items() if name in field and field[name] < 2**31]
    return " ".join([TYPES[field["type"]], " and ".join(limits)]).rstrip()


def _alternatives(field: Schema) -> list[Schema]:
    return [*field.get("anyOf", ()), *field.get("oneOf", ())]


def _value(value: Any) -> str:
    return "—" if value in (None, [], {}) else f"`{json.dumps(value).strip(chr(34))}`"


def _line(text: str) -> str:
    return " ".join(text.split())


def files() -> dict[Path, str]:
    """Both files, as they must be."""
    made = schema()
    return {
        DOCS / "profile.md": page(made),
        DOCS / "profile.schema.json": json.dumps(made, indent=2, ensure_ascii=False) + "\n",
    }


if __name__ == "__main__":
    for file, content in files().items():
        file.write_text(content, encoding="utf-8")
