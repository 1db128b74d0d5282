"""The sensor that looks at the pools' sources: files, and hub data sets whose commit is not fixed."""

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
    """The sensor of a profile. Its cursor holds a hash of the last state seen of each pool's source.

    Args:
        profile: whose sources it looks at.
        open_staleness: compares the profile with what was made: what is stale at the first look is asked for then.
    """

    @dg.sensor(
        target=dg.AssetSelection.assets("raw_pool"),
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Reads a pool's source again when its files or its hub data set changed. What is made from it "
        "follows with refresh_nightly.",
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
        # What is seen for the first time may have been read just as it is. If not, it is stale.
        stale = _stale(open_staleness(context.instance), first) if first else set[str]()
        changed = [name for name in now if name in stale or seen.get(name, now[name]) != now[name]]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(partition_key=name) for name in changed],
            skip_reason=None if changed else "No source changed.",
            cursor=json.dumps({**seen, **now}),
        )

    return pool_source_changed


def _stale(staleness: Staleness, pools: Collection[str]) -> set[str]:
    """The pools whose rows were read, and would come out otherwise now."""
    steps = [step for step in staleness.graph.steps if RAW_POOL in step.asset.keys and step.partition_key in pools]
    due = [each for each in map(staleness.cause, steps) if each is not None]
    return {str(each.step.partition_key) for each in due if each.status == "stale"}


def _state(source: SourceSettings) -> dict[str, str]:
    """What can be seen of a source from outside; empty for what is not there, or cannot change."""
    if source.hub is None or hub_folder(source) is not None:
        return source_state(source)
    return {"commit": hub_commit(source.hub, source.revision)}
