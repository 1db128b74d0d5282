"""What all parts of a profile have in common, and what a setting decides that does not decide content."""

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

FOLDER = "folder"
"""Key of the validation context: the folder that relative paths start from."""


@dataclass(frozen=True)
class Decides:
    """What a setting decides that does not decide content. The profile's JSON schema says it as `x-decides`."""

    what: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The setting's schema, with what it decides."""
        return handler(schema) | {"x-decides": self.what}


SPEED = Decides("speed")
"""Marks a setting that decides how fast something is computed and in how much memory, and not what comes out.

Last digits may differ, as sums are made in another order; with dropout, batches of another size also draw other zeros.
"""

UPKEEP = Decides("upkeep")
"""Marks a setting that decides what happens around the content: where jobs run, when runs start, what is kept."""


@dataclass(frozen=True)
class Later:
    """Marks a setting that came later, with the value that says what was done before there was a choice.

    `content` leaves the setting out where it has this value, so that what was made before is known for what it is.
    """

    before: Any


Part = TypeVar("Part", bound="Settings")


class Settings(BaseModel):
    """Base of all parts of a profile: unknown keys, infinity and NaN are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    def content(self) -> dict[str, Any]:
        """The settings that decide what comes out, those of inner parts included."""
        return self._settings(speed=False)

    def speed(self) -> dict[str, Any]:
        """The settings that are marked `SPEED`, those of inner parts included."""
        return self._settings(speed=True)

    def part(self, kind: type[Part]) -> Part:
        """Those settings that a base class of this one has, for a job that uses no others."""
        return kind.model_construct(**{name: getattr(self, name) for name in kind.model_fields})

    def _settings(self, *, speed: bool) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if UPKEEP in field.metadata or Later(value) in field.metadata:
                continue
            if isinstance(value, Settings):
                inner = value._settings(speed=speed)
                if inner or not speed:
                    found[name] = inner
            elif (SPEED in field.metadata) == speed:
                found[name] = self.model_dump(include={name})[name]
        return found
