"""The sensor that looks at the pools' sources: files, and hub data sets whose commit is not fixed."""

import json
from collections.abc import Mapping

import dagster as dg

from selection_platform.configuration.pool_settings import SourceSettings
from selection_platform.configuration.profile import Profile
from selection_platform.job.folder import content_hash
from selection_platform.pools.rows import SourceError
from selection_platform.pools.sources import hub_commit, hub_folder, source_state


def source_sensor(profile: Profile) -> dg.SensorDefinition:
    """The sensor of a profile. Its cursor holds a hash of the last state seen of each pool's source."""

    @dg.sensor(
        target=dg.AssetSelection.assets("raw_pool"),
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def pool_source_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Read a pool's source again when it changed. What is made from it follows with `refresh_nightly`."""
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
        # What is seen for the first time may have been read just as it is. If not, it is stale.
        changed = [name for name in now if seen.get(name, now[name]) != now[name]]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(partition_key=name) for name in changed],
            skip_reason=None if changed else "No source changed.",
            cursor=json.dumps({**seen, **now}),
        )

    return pool_source_changed


def _state(source: SourceSettings) -> dict[str, str]:
    """What can be seen of a source from outside; empty for what is not there, or cannot change."""
    if source.hub is None or hub_folder(source) is not None:
        return source_state(source)
    return {"commit": hub_commit(source.hub, source.revision)}
