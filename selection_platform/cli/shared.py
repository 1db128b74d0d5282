"""What several commands share."""

import argparse
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from selection_platform.configuration.profile import Profile, home
from selection_platform.errors import PlatformError
from selection_platform.experiments.keys import Experiment

if TYPE_CHECKING:
    from resources import Resources

Commands = argparse._SubParsersAction  # The class has no public name.
"""What each command adds its parser to."""


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that turns what a command prints into one JSON document."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def open_resources(profile: Profile, *, of_any_age: bool = False) -> "Resources":
    """What lies in a profile's home folder.

    Args:
        profile: what is run there.
        of_any_age: do not ask whether the warehouse has all that was made.

    Raises:
        PlatformError: the folder is another profile's of the same name.
        OlderCatalog: the warehouse's catalog is older than what was made.
    """
    # Here: they import Dagster, which takes seconds that no help text should wait for.
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
    """The experiment of a key, which must select samples."""
    experiment = profile.experiments.get(key)
    if experiment is None or experiment.pool is None:
        known = "\n  ".join(key for key, known in profile.experiments.items() if known.pool)
        raise PlatformError(f"no experiment {key!r} that selects samples; there are\n  {known}")
    return experiment


def print_json(value: Any) -> None:
    """One JSON document, and nothing else."""
    print(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    """What JSON has for a value that it does not know. DuckDB's sums of whole numbers are Decimals."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
