"""The base class of all parts of a profile, and the marks of settings that do not decide content."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

FOLDER = "folder"
"""Key of the validation context: the folder that relative paths start from."""


LIST, PART = "[list]", "[part]"
"""Tags of a setting that is a list or a part. pydantic puts them into an error's place; messages leave them out."""


@dataclass(frozen=True)
class Decides:
    """What a setting decides instead of content. The profile's JSON schema shows it as `x-decides`."""

    what: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The setting's schema, with what it decides."""
        return handler(schema) | {"x-decides": self.what}


SPEED = Decides("speed")
"""Marks a setting that decides how fast something is computed and how much memory it takes, but not the result.

Last digits may differ, because sums run in another order; with dropout, another batch size also draws other masks.
"""

UPKEEP = Decides("upkeep")
"""Marks a setting that decides what happens around the content: where jobs run, when runs start, what is kept."""


@dataclass(frozen=True)
class Later:
    """Marks a setting that was added later, with the value that stands for what the code did before.

    `content` omits the setting when it has this value, so that older results keep their identity.
    """

    before: Any


Part = TypeVar("Part", bound="Settings")


class Settings(BaseModel):
    """Base of all parts of a profile: unknown keys, infinity and NaN are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, and without what was computed from the values here."""
        copy = super().model_copy(update=update, deep=deep)
        for name in vars(copy).keys() - type(self).model_fields.keys():
            del vars(copy)[name]
        return copy

    def content(self) -> dict[str, Any]:
        """The settings that decide the result, including those of nested parts."""
        return self._settings(speed=False)

    def speed(self) -> dict[str, Any]:
        """The settings that are marked `SPEED`, including those of nested parts."""
        return self._settings(speed=True)

    def part(self, kind: type[Part]) -> Part:
        """The settings that a base class of this one defines, for a job that uses only those."""
        return kind.model_construct(**{name: getattr(self, name) for name in kind.model_fields})

    def _settings(self, *, speed: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if UPKEEP in field.metadata or Later(value) in field.metadata:
                continue
            if isinstance(value, Settings):
                inner = value._settings(speed=speed)
                if inner or not speed:
                    values[name] = inner
            elif (SPEED in field.metadata) == speed:
                values[name] = self._dumped(name, value)
        return values

    def _dumped(self, name: str, value: Any) -> Any:
        """A value as JSON can hold it. Of parts by name, what counts as in a part by itself."""
        if isinstance(value, Mapping) and value and all(isinstance(part, Settings) for part in value.values()):
            return {key: part.content() for key, part in value.items()}
        return self.model_dump(include={name})[name]
