"""Every job by its name, and how its spec is written down for another process."""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

from selection_platform.errors import PlatformError
from selection_platform.job.folder import is_complete, whole_file

Spec = TypeVar("Spec", bound=Any)
Result = TypeVar("Result")

_PLACES = {
    "answer_likelihood": "features.answer_likelihood:ANSWER_LIKELIHOOD",
    "diverse_evol": "methods.diverse_evol.selection:DIVERSE_EVOL",
    "evaluation": "evaluation.harness:EVALUATION",
    "fine_tuning": "training.fine_tuning:FINE_TUNING",
    "gradient_influence": "methods.less.gradient_influence:GRADIENT_INFLUENCE",
    "pretraining": "training.pretraining:PRETRAINING",
    "rating_probability": "methods.selectit.rating_probability:RATING_PROBABILITY",
    "sample_embedding": "features.sample_embedding:SAMPLE_EMBEDDING",
}
# Names and not the jobs themselves: their modules import torch.
JOB_NAMES = tuple(_PLACES)


@dataclass(frozen=True)
class Job(Generic[Spec, Result]):
    """One kind of job.

    Attributes:
        name: what it is asked for by.
        run: does what is left of the job in a folder, and gives its result.
        spec_type: dataclass of the first argument.
        identity: what the content of a finished folder depends on, as `open_job_folder` takes it.
        result: reads the result from a finished folder.
        several_processes: whether several processes can share the work.
    """

    name: str
    run: Callable[[Spec, Path], Result]
    spec_type: type[Spec]
    identity: Callable[[Spec], dict[str, Any]]
    result: Callable[[Path], Result]
    several_processes: bool = False

    def is_complete(self, spec: Spec, folder: Path) -> bool:
        """Whether the folder already holds all that this very spec asks for."""
        return is_complete(folder, self.identity(spec))


def other_settings(spec: Any, *names: Collection[str]) -> dict[str, Any]:
    """The fields of a spec that decide content by themselves: all but those that lead to it, and those of speed.

    Args:
        spec: a dataclass.
        names: of the fields that are left out, such as paths, whose content takes their place.
    """
    left_out = {name for each in names for name in each}
    return {each.name: getattr(spec, each.name) for each in fields(spec) if each.name not in left_out}


def load_job(name: str) -> Job[Any, Any]:
    """The job of a name, one of `JOB_NAMES`. Its module is imported now."""
    return resolve_name(f"selection_platform.{_PLACES[name]}")


def write_spec(spec: Any, file: Path) -> None:
    """Write a spec, a dataclass of JSON values, tuples and other such dataclasses."""
    with whole_file(file) as temporary:
        temporary.write_text(json.dumps(asdict(spec), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_spec(spec_type: type[Spec], file: Path) -> Spec:
    """Read what `write_spec` wrote.

    Raises:
        PlatformError: the file is no JSON, or its keys are not those of the spec.
    """
    try:
        return _of_json(spec_type, json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, KeyError, json.JSONDecodeError) as error:
        raise PlatformError(f"{file}: is no {spec_type.__name__}: {error}") from error


def _of_json(kind: Any, value: Any) -> Any:
    """A JSON value as a type hint has it: objects as dataclasses, lists as tuples."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return cast(Any, kind)(**{name: _of_json(hints[name], inner) for name, inner in value.items()})
    if get_origin(kind) is tuple:
        return tuple(_of_json(get_args(kind)[0], inner) for inner in value)
    return value
