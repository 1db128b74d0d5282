"""What the schedule and the sensors ask for, of a small profile that is all materialised."""

import json
import os
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from filelock import FileLock

from assets import build_assets
from orchestration import source_sensor
from orchestration.automation import REFRESH_TAG, build_automation, start_backfill
from orchestration.materialize import dagster_home, materialize_step, open_instance
from orchestration.workspace import open_workspace
from selection_platform.configuration.profile import load_profile
from selection_platform.definitions import build_definitions
from selection_platform.pools.rows import SourceError
from tests.small_run import (
    ENTROPY,
    FORWARD_PASS,
    RANDOM,
    TRAINED,
    change_profile,
    conversations,
    each,
    refreshed,
    write_pool,
)

pytestmark = pytest.mark.data

BY_EXPERIMENT = ("selection", "checkpoint", "benchmark_result")
TICK = datetime(2030, 1, 2, 2, tzinfo=UTC)


def instigator(place, name, bumped="") -> Any:
    """A schedule or sensor of the profile as it is now, with one asset's code version raised."""

    def with_version(spec):
        return spec.replace_attributes(code_version="2") if spec.key.to_user_string() == bumped else spec

    profile = load_profile(str(place.profile))
    found = build_automation(profile, [asset.map_asset_specs(with_version) for asset in build_assets(profile)])
    (wanted,) = (each for each in (*(found.schedules or ()), *(found.sensors or ())) if each.name == name)
    return wanted


def tick(place, bumped=""):
    """The partitions that the schedule asks for, or why it asks for none."""
    schedule = instigator(place, "refresh_nightly", bumped)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    with (
        open_instance(place.home) as instance,
        # Closed before the instance: Dagster would take the one it opens for the current one from then on.
        dg.build_schedule_context(instance=instance, scheduled_execution_time=TICK) as context,
    ):
        return asked(schedule.evaluate_tick(context))


def asked(evaluated):
    if not evaluated.run_requests:
        return evaluated.skip_message
    (request,) = evaluated.run_requests
    partitions = request.run_config["ops"]["launch_backfill"]["config"]["partitions"]
    return {f"{asset} {key}".rstrip() for asset, keys in partitions.items() for key in keys or [""]}


def test_nothing_is_asked_for_when_nothing_is_due(place):
    assert tick(place) == "Nothing is due, except what is left to the user."


def test_the_tick_names_what_is_due_and_not_what_may_become_so(place):
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    assert tick(place) == each("checkpoint", TRAINED)


def test_what_is_due_below_something_undecided_waits(place):
    # The forward pass may change entropy's selection, so its checkpoint would be trained twice.
    change_profile(place, fine_tuning={"learning_rate": 0.002}, scoring={"max_length": 60})
    assert tick(place) == FORWARD_PASS | each("checkpoint", {*TRAINED} - {ENTROPY})


def test_what_is_missing_goes_in_one_backfill(place):
    change_profile(place, arms={"random": {"seeds": [0, 1, 2]}})
    # The leaderboard waits: the other seeds' selections may come out otherwise.
    assert tick(place) == {"scores/random letters", *(f"{asset} {RANDOM[2]}" for asset in BY_EXPERIMENT)}


def test_a_gpu_step_waits_for_the_user_where_only_its_code_is_new(place):
    assert tick(place, bumped="scores/token_length") == {"scores/token_length letters/tiny"}
    assert tick(place, bumped="checkpoint") == "Nothing is due, except what is left to the user."
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    assert tick(place, bumped="checkpoint") == each("checkpoint", TRAINED)


def test_the_profile_can_say_that_code_alone_is_enough(place):
    place.profile.write_text(f"{place.profile.read_text()}\nautomation: {{recompute_on_code_change: true}}\n")
    assert tick(place, bumped="checkpoint") == each("checkpoint", ["base/tiny", *TRAINED])


def test_nothing_is_asked_for_while_the_command_line_runs(place):
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    with FileLock(place.home / "run.lock"):
        assert tick(place) == "A run of the command line is going on."


def test_a_refresh_goes_on_when_its_backfill_has_ended(place, monkeypatch, capsys):
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home(place.home)))
    with open_instance(place.home) as instance:
        schedule = instigator(place, "refresh_nightly")
        with dg.build_schedule_context(instance=instance, scheduled_execution_time=TICK) as context:
            (request,) = schedule.evaluate_tick(context).run_requests or []
        assert request.tags[REFRESH_TAG] == "2030-01-02 02.00"
        start_backfill.execute_in_process(request.run_config, instance, tags=dict(request.tags))
        (backfill,) = instance.get_backfills()
        assert backfill.tags[REFRESH_TAG] == "2030-01-02 02.00"
        assert backfill.asset_selection == [dg.AssetKey("checkpoint")]
        assert tick(place) == f"Backfill {backfill.backfill_id} is going on."

        def goes_on(cursor=None):
            sensor = instigator(place, "refresh_continues")
            with dg.build_sensor_context(instance, cursor=cursor) as context:
                return sensor.evaluate_tick(context)

        assert asked(goes_on()) == f"Backfill {backfill.backfill_id} is going on."
        instance.update_backfill(backfill.with_status(type(backfill.status)("COMPLETED_SUCCESS")))
        # Asked for already, and due all the same because no daemon is here to make it: not asked for again.
        assert asked(goes_on()) == "Nothing is due, except what is left to the user."
        refreshed(capsys, place, "checkpoint")
        next_one = goes_on()
        assert asked(next_one) == each("benchmark_result", TRAINED)
        assert next_one.cursor == backfill.backfill_id
        assert asked(goes_on(next_one.cursor)) == "No refresh is going on."
        instance.update_backfill(backfill.with_status(type(backfill.status)("COMPLETED_FAILED")))
        assert "the next night tries again" in str(asked(goes_on()))


def look_at_sources(place, cursor=None):
    """The pools that the sensor asks for, and its cursor."""
    sensor = instigator(place, "pool_source_changed")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    definitions = build_definitions(load_profile(str(place.profile)))
    with (
        open_instance(place.home) as instance,
        dg.build_sensor_context(instance, cursor, definitions=definitions) as context,
    ):
        evaluated = sensor.evaluate_tick(context)
    return [request.partition_key for request in evaluated.run_requests or []], evaluated.cursor


def test_a_changed_file_is_asked_for_once(place):
    names, cursor = look_at_sources(place)
    assert names == []
    assert look_at_sources(place, cursor) == ([], cursor)
    write_pool(place, conversations(61, seed=0))
    names, changed = look_at_sources(place, cursor)
    assert names == ["letters"]
    assert look_at_sources(place, changed) == ([], changed)
    # Gone for a while, and back as it was.
    state, content = place.pool.stat(), place.pool.read_bytes()
    place.pool.unlink()
    assert look_at_sources(place, changed) == ([], changed)
    place.pool.write_bytes(content)
    os.utime(place.pool, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert look_at_sources(place, changed) == ([], changed)


def test_what_is_stale_already_is_asked_for_at_the_first_look(place):
    write_pool(place, conversations(61, seed=0))
    names, cursor = look_at_sources(place)
    assert names == ["letters"]
    assert look_at_sources(place, cursor) == ([], cursor)


def shown(place):
    """By asset and partition, why the newest result of `up_to_date` says that it is due; None where it is not."""
    found: dict[str, str | None] = {}
    with open_instance(place.home) as instance:
        for key in instance.get_asset_keys():
            check = dg.AssetCheckKey(key, "up_to_date")
            for record in instance.event_log_storage.get_asset_check_execution_history(check, limit=100):
                evaluation = record.event.asset_check_evaluation if record.event else None
                assert evaluation is not None
                assert evaluation.severity == dg.AssetCheckSeverity.WARN
                assert evaluation.passed == (evaluation.description is None)
                name = f"{key.to_user_string()} {record.partition or ''}".rstrip()
                found.setdefault(name, evaluation.description)
    return found


def look(place, cursor=None):
    """Have the sensor look, and give its cursor."""
    sensor = instigator(place, "status")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    with open_instance(place.home) as instance, dg.build_sensor_context(instance, cursor) as context:
        evaluated = sensor.evaluate_tick(context)
    assert not evaluated.run_requests
    return evaluated.cursor


def test_the_ui_shows_what_is_due_and_why(place, capsys):
    none_due = shown(place)
    assert set(none_due.values()) == {None}
    cursor = look(place)
    assert (cursor, shown(place)) == ("{}", none_due)
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    cursor = look(place, cursor)
    cause = "stale: fine_tuning.learning_rate 0.001 -> 0.002"
    assert shown(place) == none_due | dict.fromkeys(each("checkpoint", TRAINED), cause)
    # Until something changes, nothing more is recorded.
    assert look(place, cursor) == cursor
    change_profile(place, fine_tuning={"learning_rate": 0.003})
    cursor = look(place, cursor)
    assert shown(place)[f"checkpoint {ENTROPY}"] == "stale: fine_tuning.learning_rate 0.001 -> 0.003"
    refreshed(capsys, place, ENTROPY)
    assert shown(place)[f"checkpoint {ENTROPY}"] is None
    change_profile(place, fine_tuning={"learning_rate": 0.001})
    look(place, cursor)
    assert {name: why for name, why in shown(place).items() if why and name.startswith("checkpoint")} == {
        f"checkpoint {ENTROPY}": "stale: fine_tuning.learning_rate 0.003 -> 0.001"
    }


def test_what_was_reused_meanwhile_is_shown_again(place):
    before = place.profile.read_text()
    change_profile(place, verdict={"margin": 0.3})
    changed = place.profile.read_text()
    cursor = look(place)
    due = shown(place)["verdict"]
    assert due is not None
    place.profile.write_text(before)
    with open_workspace(load_profile(str(place.profile))) as workspace:
        (step,) = [step for step in workspace.staleness.graph.steps if "verdict" in step.names]
        assert "reused" in materialize_step(step, workspace.assets, workspace.resources, workspace.instance)
    assert shown(place)["verdict"] is None
    place.profile.write_text(changed)
    look(place, cursor)
    assert shown(place)["verdict"] == due


def test_the_ui_shows_that_files_are_gone(place):
    (place.home / "artifacts" / "checkpoint" / ENTROPY / "manifest.json").unlink()
    look(place, "{}")
    due = {name: why for name, why in shown(place).items() if why}
    assert list(due) == [f"checkpoint {ENTROPY}"]
    assert str(due[f"checkpoint {ENTROPY}"]).startswith("missing: its files are gone: ")


def test_a_new_commit_of_a_hub_data_set_is_asked_for_once(place, monkeypatch):
    change_profile(place, pools={"letters": {"source": {"hub": "someone/letters"}}})
    commits = {"someone/letters": "a"}

    def commit(hub, revision):
        assert revision is None
        if hub not in commits:
            raise SourceError(f"hub: {hub} cannot be read")
        return commits[hub]

    monkeypatch.setattr(source_sensor, "hub_commit", commit)
    names, cursor = look_at_sources(place)
    # Its rows are those of a file.
    assert names == ["letters"]
    assert look_at_sources(place, cursor) == ([], cursor)
    assert list(json.loads(cursor or "")) == ["letters"]
    commits.clear()
    assert look_at_sources(place, cursor) == ([], cursor)
    commits["someone/letters"] = "b"
    names, changed = look_at_sources(place, cursor)
    assert names == ["letters"]
    assert look_at_sources(place, changed) == ([], changed)
