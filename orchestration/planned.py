"""Which partitions are wanted: those of the profile, those that a plan names, and those that somebody made by hand.

The one place that decides it: `status`, `run`, `estimate`, the sensors and the schedule all read the graph, which
leaves out what this module names.
"""

from collections.abc import Callable, Collection, Mapping

import dagster as dg

from assets.keys import BENCHMARK_RESULT, CHECKPOINT, SELECTION, Node
from resources.warehouse import Warehouse
from selection_platform.configuration.profile import Profile
from sql.queries import load_sql

PLAN = "experiments.plan"


def not_wanted(
    profile: Profile, warehouse: Warehouse, made: Callable[[dg.AssetKey], Mapping[str | None, object]]
) -> set[Node]:
    """The partitions that exist and are not due, because no plan names them yet.

    Args:
        profile: says which experiments are made only where a plan says so.
        warehouse: has the plan.
        made: the records of an asset's partitions that were materialised.
    """
    if not profile.only_if_planned:
        return set()
    later = profile.only_if_planned.keys() - planned(warehouse)
    return {(asset, key) for asset in (SELECTION, CHECKPOINT, BENCHMARK_RESULT) for key in later - made(asset).keys()}


def planned(warehouse: Warehouse) -> Collection[str]:
    """The experiments that a plan names."""
    return set(warehouse.query(load_sql("60_plan/planned"))["experiment"]) if has_plan(warehouse) else set()


def has_plan(warehouse: Warehouse) -> bool:
    """Whether the table of plans is there: in a home of an earlier version, the first write creates it."""
    return warehouse.exists() and PLAN in set(warehouse.query(load_sql("00_warehouse/columns"))["name"])
