"""Specs: what a job is to do, written as JSON for another process.

A spec names files by their paths and holds the profile's settings that the job uses. It has no defaults: those are only
in `selection_platform.configuration`.
"""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ValidationError

from selection_platform.configuration.base import Decides, Settings
from selection_platform.configuration.settings import PassSettings
from selection_platform.configuration.text_settings import TextSettings
from selection_platform.errors import PlatformError
from selection_platform.job.folder import whole_file

PATH = Decides("place")
"""Marks a field that says where content is. The content itself, and not the place, is in the job's identity."""

FilePath = Annotated[str, PATH]
"""Path of a file or a folder that a job reads."""

JobText = Annotated[TextSettings, PATH]
"""How conversations become text. The resulting tokens, and not these settings, are in the job's identity."""


class Spec(Settings):
    """Base of all specs. Unknown keys are errors, as in a profile."""

    def content(self, *left_out: str) -> dict[str, Any]:
        """The settings that decide the job's content, in one flat mapping, without the content behind its paths.

        Args:
            left_out: names of fields, also of nested settings, that the job adds to its identity in another way.
        """
        return self._flat(super().content(), left_out)

    def speed(self) -> dict[str, Any]:
        """The settings that decide how fast the job is and how much memory it takes, in one flat mapping."""
        return self._flat(super().speed(), ())

    def _flat(self, values: dict[str, Any], left_out: tuple[str, ...]) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if name in left_out or PATH in type(self).model_fields[name].metadata:
                continue
            of_field = value if isinstance(getattr(self, name), Settings) else {name: value}
            of_field = {key: content for key, content in of_field.items() if key not in left_out}
            if duplicates := flat.keys() & of_field.keys():
                names = ", ".join(sorted(duplicates))
                raise TypeError(f"{type(self).__name__} has {names} twice; leave one of the two out")
            flat |= of_field
        return flat


class ScoringSpec(Spec):
    """The spec of a scoring job.

    Attributes:
        samples_file: Parquet with `sample_id` (string, unique) and `messages` (list of `{role, content}`).
        scoring: sizes of the pass.
        dtype: number type of the weights: "float32", "bfloat16" or "float16".
        text: how conversations become text.
    """

    samples_file: FilePath
    scoring: PassSettings
    dtype: str
    text: JobText


AnySpec = TypeVar("AnySpec", bound=Spec)


def write_spec(spec: Spec, file: Path) -> None:
    """Write a spec as JSON."""
    with whole_file(file) as temporary:
        temporary.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_spec(spec_type: type[AnySpec], file: Path) -> AnySpec:
    """Read what `write_spec` wrote.

    Raises:
        PlatformError: the file is not JSON, or its keys and values are not those of the spec.
    """
    try:
        return spec_type.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PlatformError(f"{file}: not a {spec_type.__name__}: {where or 'the text'}: {first['msg']}") from error
