"""The sensor that watches the sources of pools: files, and hub datasets whose commit is not fixed."""

import json
from collections.abc import Callable, Collection, Mapping

import dagster as dg

from assets.keys import RAW_POOL
from orchestration.staleness import Staleness
from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.configuration.profile import Profile
from selection_platform.job.folder import content_hash
from selection_platform.pools.rows import SourceError
from selection_platform.pools.sources import hub_commit, hub_folder, source_state


def source_sensor(profile: Profile, open_staleness: Callable[[dg.DagsterInstance], Staleness]) -> dg.SensorDefinition:
    """The sensor of a profile. Its cursor has a hash of the last known state of each pool's source.

    Args:
        profile: the profile with the sources.
        open_staleness: compares the profile with what was materialised, to request pools that are stale at the first
            look.
    """

    @dg.sensor(
        target=dg.AssetSelection.assets("raw_pool"),
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reads a pool's source again when its files or its hub dataset changed. refresh_nightly updates "
        "everything downstream of it.",
    )
    def pool_source_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        seen: Mapping[str, str] = json.loads(context.cursor or "{}")
        now: dict[str, str] = {}
        for name, pool in profile.pools.items():
            try:
                state = _state(pool.source)
            except SourceError as error:
                context.log.warning("%s: %s", name, error)
                state = {}
            if state:
                now[name] = content_hash(state)
        first = [name for name in now if name not in seen]
        # A source that is seen for the first time may have been read in this state. If not, it is stale.
        stale = _stale(open_staleness(context.instance), first) if first else set[str]()
        changed = [name for name in now if name in stale or seen.get(name, now[name]) != now[name]]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(partition_key=name) for name in changed],
            skip_reason=None if changed else "No source changed.",
            cursor=json.dumps({**seen, **now}),
        )

    return pool_source_changed


def _stale(staleness: Staleness, pools: Collection[str]) -> set[str]:
    """The pools whose source changed after its rows were read."""
    steps = [step for step in staleness.graph.steps if RAW_POOL in step.asset.keys and step.partition_key in pools]
    due = [one for one in map(staleness.cause, steps) if one is not None]
    return {str(one.step.partition_key) for one in due if one.status == "stale"}


def _state(source: SourceSettings) -> dict[str, str]:
    """The visible state of a source; empty if it does not exist or cannot change."""
    if source.hub is None or hub_folder(source) is not None:
        return source_state(source)
    return {"commit": hub_commit(source.hub, source.revision)}
