"""Specs for tests: each value goes to the spec, or to the settings in it that have one of its name."""

from pathlib import Path
from typing import Any, TypeVar

from selection_platform.configuration.base import Settings
from selection_platform.features.answer_likelihood import LikelihoodSpec
from selection_platform.job.spec import Spec

AnySpec = TypeVar("AnySpec", bound=Spec)


def made(kind: type[AnySpec], **values: Any) -> AnySpec:
    """A spec; without a seed it has 0, and without a number type float32."""
    fields = kind.model_fields
    own = {"seed": 0, "dtype": "float32", "precision": "float32"} | values
    given = {name: value for name, value in own.items() if name in fields}
    for name, field in fields.items():
        inner = field.annotation
        if name not in given and isinstance(inner, type) and issubclass(inner, Settings):
            given[name] = inner(**{key: value for key, value in values.items() if key in inner.model_fields})
    known = {key for value in given.values() if isinstance(value, Settings) for key in type(value).model_fields}
    assert values.keys() <= fields.keys() | known, values.keys() - fields.keys() - known
    return kind(**given)


def changed(spec: AnySpec, **values: Any) -> AnySpec:
    """A copy with other values, which need not fit together."""
    update = {name: value for name, value in values.items() if name in type(spec).model_fields}
    for name in type(spec).model_fields:
        inner = getattr(spec, name)
        if name not in values and isinstance(inner, Settings):
            of_inner = {key: value for key, value in values.items() if key in type(inner).model_fields}
            update[name] = inner.model_copy(update=of_inner)
    return spec.model_copy(update=update)


def shared_pass(folder: Path, **values: Any) -> LikelihoodSpec:
    """The shared pass on `model` and `samples.parquet` of a folder, in batches of a few rows."""
    small = {"max_length": 60, "tokens_per_batch": 256, "logit_rows": 50, "samples_per_shard": 7}
    files = {"model_folder": str(folder / "model"), "samples_file": str(folder / "samples.parquet")}
    return made(LikelihoodSpec, **{**files, **small, **values})
