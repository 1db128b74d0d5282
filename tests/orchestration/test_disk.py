"""Weights go and come back, and the warehouse's past goes: what is needed stays, and nothing is due for it."""

import json
from datetime import timedelta

import pytest
import yaml

from assets.record.provenance import latest_provenance
from orchestration import cleaning
from orchestration.disk_usage import bytes_of
from orchestration.materialize import open_instance
from orchestration.retention import Retention
from orchestration.workspace import open_workspace
from resources import build_resources
from resources.snapshots import snapshots
from resources.warehouse import SnapshotMissing, Warehouse
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.definitions import build_definitions
from selection_platform.job.folder import MANIFEST, read_manifest, write_manifest
from selection_platform.models.dropped_weights import WEIGHTS_DROPPED, weights_dropped
from selection_platform.pools.splits import split_of
from selection_platform.text.conversation import to_messages
from tests.small_run import (
    ENTROPY,
    FORWARD_PASS,
    RANDOM,
    REPORTS,
    TOKEN_LENGTH,
    TRAINED,
    change_profile,
    conversations,
    due,
    output_of,
    refreshed,
    status,
    version,
    write_pool,
)

pytestmark = pytest.mark.data


@pytest.fixture(autouse=True)
def nothing_is_kept_for_its_age(monkeypatch):
    monkeypatch.setattr(cleaning, "KEPT_FOR", timedelta(0))


def folder_of(place, experiment):
    return build_resources(place.home).artifacts.checkpoint(experiment)


def with_weights(place):
    return {key for key in TRAINED if list(folder_of(place, key).glob("*.safetensors"))}


def warehouse_of(place):
    warehouse = build_resources(place.home).warehouse
    assert isinstance(warehouse, Warehouse)
    return warehouse


def disk(capsys, place):
    return json.loads(output_of(capsys, place, "disk", "--json"))


def of_selections(place):
    """The snapshot that each selection and checkpoint was made at."""
    with open_instance(place.home) as instance:
        return {
            (key.to_user_string(), partition): made.snapshot
            for key in instance.get_asset_keys()
            if key.to_user_string() in ("selection", "checkpoint")
            for partition, made in latest_provenance(instance, key).items()
        }


def write_unneeded_rows(place):
    """Some snapshots that no materialisation refers to."""
    rows = "SELECT 's' || i AS sample_id, i::DOUBLE AS score FROM range(50000) AS r(i)"
    for _ in range(3):
        warehouse_of(place).replace("scores.zip", {"pool": "other", "model": None}, rows)


def test_none_are_kept_and_one_comes_back_the_same_when_it_is_evaluated_again(place, capsys):
    before = disk(capsys, place)
    change_profile(place, checkpoints={"keep": "none"})
    output = output_of(capsys, place, "run")
    assert all(f"dropped the weights of {key}, " in output for key in TRAINED)
    assert with_weights(place) == set()
    base = build_resources(place.home).artifacts.base_model("tiny")
    assert list(base.glob("*.safetensors"))
    freed = sum((read_manifest(folder_of(place, key)) or {})[WEIGHTS_DROPPED]["bytes"] for key in TRAINED)
    assert freed == before["freed_by"]["checkpoints.keep"]["none"] > 0
    assert due(capsys, place) == {}
    assert refreshed(capsys, place) == set()

    versions = {key: version(place, "checkpoint", key) for key in TRAINED}
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}})
    assert refreshed(capsys, place, TOKEN_LENGTH) == {f"checkpoint {TOKEN_LENGTH}", f"benchmark_result {TOKEN_LENGTH}"}
    assert version(place, "checkpoint", TOKEN_LENGTH) == versions[TOKEN_LENGTH]
    # It went again at once, and the others were left alone.
    assert with_weights(place) == set()
    assert weights_dropped(folder_of(place, TOKEN_LENGTH))
    assert not [name for name in due(capsys, place) if TOKEN_LENGTH in name or "checkpoint" in name]


def test_weights_that_no_evaluation_needs_stay_away(place, capsys):
    change_profile(place, checkpoints={"keep": "none"})
    output_of(capsys, place, "clean")
    # One more row, too short to be selected, and none of the held-out ones.
    settings = load_profile(str(place.profile)).pools["letters"]
    rows = (
        [{"role": "user", "content": f"Is this number {number}?"}, {"role": "assistant", "content": "Yes."}]
        for number in range(99)
    )
    short = next(row for row in rows if split_of(to_messages(row), settings) == "pool")
    write_pool(place, [*conversations(60, seed=0), short])
    output = output_of(capsys, place, "refresh", TOKEN_LENGTH)
    assert f"benchmark_result  {TOKEN_LENGTH}" in output
    assert "trained again" not in output
    assert with_weights(place) == set()


def test_the_best_are_kept(place, capsys):
    averages = {key: 0.9 if key == ENTROPY else 0.5 for key in TRAINED}
    for key, average in averages.items():
        statement = "SELECT 'mmlu' AS benchmark, $average::DOUBLE AS value, true AS \"primary\""
        warehouse_of(place).replace("benchmarks.results", {"experiment": key}, statement, {"average": average})
    change_profile(place, checkpoints={"keep": "best", "best": 1})
    keep = disk(capsys, place)["freed_by"]["checkpoints.keep"]
    assert keep["all"] == 0 < keep["best"] < keep["none"]
    output_of(capsys, place, "clean", "--dry-run")
    assert with_weights(place) == set(TRAINED)
    output_of(capsys, place, "clean")
    assert with_weights(place) == {ENTROPY}
    # Of equals, the first in the profile.
    change_profile(place, checkpoints={"best": 2})
    # The results themselves are not to be rebuilt: those in the warehouse are this test's own.
    assert main(["--profile", str(place.profile), "refresh", "checkpoint", "--rebuild"]) == 0
    assert with_weights(place) == set(TRAINED)
    assert due(capsys, place) == {}
    output_of(capsys, place, "clean")
    assert with_weights(place) == {ENTROPY, RANDOM[0]}


def test_killed_between_the_note_and_the_deletion(place, capsys):
    folder = folder_of(place, TOKEN_LENGTH)
    before = version(place, "checkpoint", TOKEN_LENGTH)
    write_manifest(folder, {**(read_manifest(folder) or {}), WEIGHTS_DROPPED: {"bytes": 1}})
    assert due(capsys, place) == {}
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}})
    assert f"checkpoint {TOKEN_LENGTH}" in refreshed(capsys, place, TOKEN_LENGTH)
    assert version(place, "checkpoint", TOKEN_LENGTH) == before
    assert not weights_dropped(folder)
    assert TOKEN_LENGTH in with_weights(place)


def test_weights_that_were_asked_for_stay_though_their_evaluation_is_due(place, capsys):
    change_profile(place, checkpoints={"keep": "none"})
    output_of(capsys, place, "clean")
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}})
    assert "1 steps would run" in output_of(capsys, place, "refresh", TOKEN_LENGTH, "--dry-run")
    plan = output_of(capsys, place, "refresh", TOKEN_LENGTH, "--rebuild", "--dry-run")
    assert "2 steps would run" in plan
    assert "dropped" in plan
    assert with_weights(place) == set()
    output_of(capsys, place, "refresh", TOKEN_LENGTH, "--rebuild")
    assert with_weights(place) == {TOKEN_LENGTH}
    output_of(capsys, place, "clean")
    assert with_weights(place) == set()


def test_weights_that_a_step_at_work_reads_stay(place):
    change_profile(place, checkpoints={"keep": "none"})
    with open_workspace(load_profile(str(place.profile))) as workspace:
        retention = Retention(workspace.profile, workspace.staleness, workspace.resources)
        (reads,) = [step for step in workspace.staleness.graph.steps if {"benchmark_result", ENTROPY} <= step.names]
        assert retention.drop([reads]).keys() == {*TRAINED} - {ENTROPY}
        assert with_weights(place) == {ENTROPY}
        assert retention.drop().keys() == {ENTROPY}


def test_dropped_weights_are_not_read(place, capsys):
    change_profile(place, checkpoints={"keep": "none"})
    output_of(capsys, place, "clean")
    from selection_platform.models.loading import UnreadableModel, load_model

    with pytest.raises(UnreadableModel, match=r"its weights were deleted .* refresh EXPERIMENT --rebuild"):
        load_model(folder_of(place, ENTROPY))
    assert main(["--profile", str(place.profile), "refresh", "--rebuild"]) == 1
    assert "name the assets or partitions" in capsys.readouterr().err


def test_clean_frees_what_nothing_refers_to_and_nothing_else(place, capsys):
    warehouse = warehouse_of(place)
    write_unneeded_rows(place)
    orphan = place.home / "warehouse" / "tables" / "scores" / "killed.parquet"
    orphan.write_bytes(bytes(1000))
    kept = of_selections(place)
    ids = {at: warehouse.query("FROM selections.samples ORDER BY ALL", at=at) for at in set(kept.values())}
    there, tables = snapshots(warehouse), bytes_of(place.home / "warehouse" / "tables")
    freeable = disk(capsys, place)["freed_by"]["clean"]
    assert "would be freed" in output_of(capsys, place, "clean", "--dry-run")
    assert snapshots(warehouse) == there
    output_of(capsys, place, "clean")
    assert tables - bytes_of(place.home / "warehouse" / "tables") == freeable > 300_000
    assert not orphan.exists()

    left = snapshots(warehouse)
    assert left[-1] == there[-1]
    assert set(kept.values()) <= set(left)
    for at, rows in ids.items():
        assert warehouse.query("FROM selections.samples ORDER BY ALL", at=at).equals(rows)
    for key in TRAINED:
        output_of(capsys, place, "verify", key)
    assert due(capsys, place) == {}
    forgotten = there[-2]
    assert forgotten not in left
    with pytest.raises(SnapshotMissing, match=f"has no snapshot {forgotten}"):
        warehouse.query("FROM selections.samples", at=forgotten)
    assert disk(capsys, place)["freed_by"]["clean"] == 0


def test_clean_keeps_what_is_young(place, capsys):
    write_unneeded_rows(place)
    warehouse = warehouse_of(place)
    there = snapshots(warehouse)
    output_of(capsys, place, "clean", "--kept-for", "1")
    assert set(snapshots(warehouse)) >= set(there[-3:])
    output_of(capsys, place, "clean", "--kept-for", "0")
    assert not set(snapshots(warehouse)) & set(there[-3:-1])


def test_clean_forgets_runs_whose_content_is_gone(place, capsys):
    with open_instance(place.home) as instance:
        before = {run.run_id for run in instance.get_runs()}
        for limit in (2, 3):
            change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": limit}}})
            output_of(capsys, place, "refresh", ENTROPY)
        cost = json.loads(output_of(capsys, place, "cost", "--json"))
        everything = json.loads(output_of(capsys, place, "lineage", ENTROPY, "--json"))
        newest = {each["run_id"] for each in everything["partitions"]}
        assert "would be freed" in output_of(capsys, place, "clean", "--dry-run")
        assert {run.run_id for run in instance.get_runs()} > before
        output_of(capsys, place, "clean")
        left = {run.run_id for run in instance.get_runs()}
    assert left >= newest
    assert before - left
    events = place.home / "dagster" / "history" / "runs"
    assert {path.name.split(".")[0] for path in events.glob("*-*.db*")} == left == {
        path.name for path in (place.home / "dagster" / "storage").iterdir()
    }  # fmt: skip
    assert json.loads(output_of(capsys, place, "cost", "--json"))["arms"] == cost["arms"]
    assert json.loads(output_of(capsys, place, "lineage", ENTROPY, "--json")) == everything
    output_of(capsys, place, "verify", ENTROPY)


def test_disk_adds_up(place, capsys):
    found = disk(capsys, place)
    sizes = [use["bytes"] for use in found["uses"]]
    assert sizes == sorted(sizes, reverse=True)
    assert found["bytes"] == sum(sizes)
    # All but a lock file or two, and what SQLite keeps beside Dagster's records while they are open.
    assert abs(found["bytes"] - bytes_of(place.home)) < 100_000
    names = {use["name"]: use["partition"] for use in found["uses"]}
    assert {"raw_pool", "pool", "base_model", "scoring", "warehouse, current rows", "Dagster's instance"} <= {*names}
    assert {use["partition"] for use in found["uses"] if use["name"] == "checkpoint"} == set(TRAINED)
    text = output_of(capsys, place, "disk")
    assert f"checkpoint {ENTROPY}" in text
    assert f"In {place.home}" in text


def test_what_is_in_the_profile_no_more_goes_when_asked_for(place, capsys):
    profile = yaml.safe_load(place.profile.read_text())
    del profile["arms"]["entropy"]
    place.profile.write_text(yaml.safe_dump(profile, sort_keys=False))
    output_of(capsys, place, "clean")
    found = disk(capsys, place)
    gone = {(use["name"], use["partition"]) for use in found["uses"] if not use["in_profile"]}
    scoring = ("scoring", "letters/tiny/answer_likelihood")
    of_experiment = {(name, "entropy") for name in ("checkpoint", "benchmark_result")}
    assert gone == {scoring, *of_experiment}
    before = bytes_of(place.home / "artifacts")
    output_of(capsys, place, "clean", "--removed")
    assert before - bytes_of(place.home / "artifacts") == found["freed_by"]["clean --removed"] > 0
    assert not folder_of(place, ENTROPY).exists()
    assert all((folder_of(place, key) / MANIFEST).exists() for key in TRAINED if key != ENTROPY)
    assert set(due(capsys, place)) == REPORTS - {"report"}
    # Back again, its files are missed.
    change_profile(place, arms={"entropy": {}})
    missing = {name for name, (kind, _) in due(capsys, place).items() if kind == "missing"}
    assert missing == {
        ", ".join(sorted(each.split()[0] for each in FORWARD_PASS)) + " letters/tiny",
        f"checkpoint {ENTROPY}",
    }


def test_the_job_does_what_the_command_does(place, capsys):
    write_unneeded_rows(place)
    change_profile(place, checkpoints={"keep": "none"})
    with open_instance(place.home) as instance:
        job = build_definitions(load_profile(str(place.profile))).resolve_job_def("clean")
        assert job.execute_in_process(instance=instance).success
    assert with_weights(place) == set()
    # The job's own run is the one old run that is left.
    assert "1 old runs of Dagster" in output_of(capsys, place, "clean", "--dry-run")
    assert status(capsys, place)["due"] == []


def test_nothing_is_cleaned_while_a_run_of_dagsters_is_at_work(place, capsys):
    from dagster import DagsterRunStatus, job

    @job
    def other():
        pass

    with open_instance(place.home) as instance:
        instance.create_run_for_job(other, status=DagsterRunStatus.STARTED)
    assert main(["--profile", str(place.profile), "clean"]) == 1
    assert "is in progress; wait for it" in capsys.readouterr().err
    output_of(capsys, place, "clean", "--dry-run")
