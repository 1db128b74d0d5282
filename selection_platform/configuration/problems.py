"""Turns pydantic's errors in a profile into messages that name the key and say what to write."""

import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from selection_platform.configuration.base import LIST, PART
from selection_platform.configuration.settings import did_you_mean

_TEXTS = {
    "tuple_type": "write a list, such as [1, 2]",
    "dict_type": "write keys with values below it",
    "model_type": "write keys with values below it",
    "too_short": "must not be empty",
    "string_type": "must be text; put quotes around it",
    "finite_number": "infinity and NaN are not allowed; write a number",
}
"""Messages for the kinds of error whose own text does not fit YAML."""


_MISSING = {
    "pools": "pools:\n  chats:\n    source: {files: chats.jsonl}",
    "arms": "arms:\n  random: {seeds: [0, 1, 2]}\n  zip:",
    "targets": "targets:\n  mine: {examples: {source: {files: wanted.jsonl}}}",
    "source": "source: {files: chats.jsonl}",
    "steps": "steps: 500",
}
"""Lines to write where a key is missing."""


def problems(error: ValidationError, profile: type[BaseModel]) -> list[str]:
    """A text for each thing that is wrong, without those that follow from others. Lines to write are indented."""
    details = error.errors()
    texts = [_problem(detail, profile) for detail in details if not _follows(detail, details)]
    # What does not fit together is told in one error.
    return [problem for text in texts for problem in re.split(r"\n(?! )", text)]


def _follows(detail: ErrorDetails, details: list[ErrorDetails]) -> bool:
    """Whether a collection is too short only because an item in it is wrong."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in details
    )


def _problem(detail: ErrorDetails, profile: type[BaseModel]) -> str:
    location = tuple(part for part in detail["loc"] if part not in (LIST, PART))
    if location and location[-1] == "[key]":
        # The message itself names the key.
        location = location[:-2]
    place = ".".join(map(str, location))
    if detail["type"] == "extra_forbidden":
        return f"{place}: unknown key{did_you_mean(str(location[-1]), _keys(profile, location[:-1]))}"
    text = (
        _missing(detail)
        or _TEXTS.get(detail["type"])
        or re.sub(r"^Value error, |^\w+ should\b", _plainly, detail["msg"])
    )
    return f"{place}: {text}" if place else text


def _missing(detail: ErrorDetails) -> str | None:
    """What to write where something is missing; None where nothing is."""
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "missing":
        what = "is missing; add"
    elif detail["type"] == "too_short" and name in _MISSING:
        what = "must not be empty; write"
    else:
        return None
    lines = _MISSING.get(name, f"{name}: ...").splitlines()
    return f"{what} `{lines[0]}`" if len(lines) == 1 else "\n  ".join([what, *lines])


def _plainly(beginning: re.Match[str]) -> str:
    return "must" if beginning[0].endswith("should") else ""


def _keys(part: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """The known keys at a place, or those of the whole profile if the place is unknown."""
    for depth, name in enumerate(location):
        field = part.model_fields.get(str(name))
        inner = _models_in(field.annotation) if field else []
        if len(inner) != 1:
            continue
        return _keys(inner[0], location[depth + 1 :])
    return set(part.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
