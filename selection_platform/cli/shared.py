"""Functions that several commands share."""

import argparse
import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from selection_platform.cli.completion import completed, experiments, profiles
from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment, find, nearest
from selection_platform.text.printable import printable_json

if TYPE_CHECKING:
    from resources import Resources


MOST_LISTED = 10


class Commands:
    """The commands, to which each module adds its parsers.

    Attributes:
        groups: by title of the group, the help text of each command, by its name.
    """

    def __init__(self, root: argparse.ArgumentParser) -> None:
        self._parsers = root.add_subparsers(
            required=True, metavar="COMMAND", prog="selection-platform", parser_class=argparse.ArgumentParser
        )
        self.groups: dict[str, dict[str, str]] = {}
        self._group: dict[str, str] = {}

    def begin_group(self, title: str) -> None:
        """Start a group: the next commands go below its title."""
        self._group = self.groups.setdefault(title, {})

    def add_parser(self, name: str, *, help: str, epilog: str) -> argparse.ArgumentParser:
        """Add a command.

        Args:
            name: name of the command.
            help: a short description of it.
            epilog: `Example: ` and a command line.
        """
        self._group[name] = help
        parser = self._parsers.add_parser(
            name,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # Without a default, so that it does not overwrite a `--profile` before the command.
        completed(parser.add_argument("--profile", default=argparse.SUPPRESS, help=argparse.SUPPRESS), profiles)
        return parser


def add_experiment(
    parser: argparse.ArgumentParser, name: str = "experiment", what: str = "an experiment", *, nargs: str | None = None
) -> None:
    """Add an argument that is the key of an experiment. `nargs` is argparse's own."""
    completed(parser.add_argument(name, metavar="EXPERIMENT", nargs=nargs, help=f"key of {what}"), experiments)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option to print one JSON document instead of text."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def number_above_zero(text: str, otherwise: str) -> float:
    """The finite number above 0 that an option's text is.

    Raises:
        argparse.ArgumentTypeError: the text is not such a number. The message is `otherwise`.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(otherwise)
    return number


def open_resources(profile: Profile, *, of_any_age: bool = False) -> "Resources":
    """Open the resources in a profile's home folder.

    Args:
        profile: the profile.
        of_any_age: skip the check that the warehouse has everything that was materialised.

    Raises:
        PlatformError: the folder belongs to another profile of the same name.
        OlderCatalog: the warehouse's catalog is older than Dagster's records.
    """
    # Imported here because they import Dagster, which takes seconds that `--help` does not need.
    from assets.record.catalog_age import check_catalog
    from orchestration.home_owner import check_owner
    from orchestration.materialize import open_instance
    from resources import build_resources

    check_owner(profile)
    resources = build_resources(home(profile))
    if not of_any_age and (home(profile) / "dagster").exists():
        with open_instance(home(profile)) as instance:
            check_catalog(instance, resources.warehouse)
    return resources


def selecting_experiment(profile: Profile, key: str) -> Experiment:
    """The experiment of a key, which may be shortened; it must select samples."""
    selecting = {key: experiment for key, experiment in profile.experiments.items() if experiment.pool}
    return _experiment(selecting, key, " that selects samples")


def trained_experiment(profile: Profile, key: str) -> Experiment:
    """The experiment of a key, which may be shortened; it must have a model."""
    return _experiment(profile.trained_experiments, key, " that has a model")


def experiment_of(profile: Profile, key: str) -> Experiment:
    """The experiment of a key, which may be shortened."""
    return _experiment(profile.experiments, key, "")


def _experiment(known: Mapping[str, Experiment], key: str, which: str) -> Experiment:
    """The experiment that a key names.

    Raises:
        PlatformError: it names none, or more than one.
    """
    matches = find(known, key)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = _listed(experiment.key for experiment in matches)
        raise PlatformError(f"{key!r} matches {len(matches)} experiments; name one{listed}")
    near = nearest(known, key)
    suggestion = f"; did you mean{_listed(near)}\n" if near else ": "
    raise PlatformError(f"no experiment {key!r}{which}{suggestion}`selection-platform experiments` lists all")


def _listed(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = "\n  ..." if len(keys) > MOST_LISTED else ""
    return "".join(f"\n  {key}" for key in keys[:MOST_LISTED]) + more


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else."""
    print(as_json(value))


def as_json(value: Any) -> str:
    """A value as JSON. NaN and infinity, which JSON does not have, become null; control characters are escaped."""
    return printable_json(json.dumps(_finite(value), ensure_ascii=False, default=_plain, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """A value of another type, for JSON. DuckDB's sums of integers are Decimals."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
