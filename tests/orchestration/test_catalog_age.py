"""A catalog that is older than the work, as from a backup: whatever would go by it stops, and no file is lost."""

import hashlib
import shutil
from datetime import timedelta

import dagster as dg
import pytest

from assets import build_assets
from assets.record.catalog_age import AFTERWARDS, OlderCatalog
from assets.record.provenance import latest_provenance
from orchestration import cleaning
from orchestration.automation import build_automation
from orchestration.materialize import open_instance
from resources import build_resources
from resources.snapshots import snapshots
from resources.warehouse import Warehouse
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.definitions import build_definitions
from tests.small_run import ENTROPY, TOKEN_LENGTH, change_profile, due, output_of, refreshed

pytestmark = pytest.mark.data


@pytest.fixture(autouse=True)
def nothing_is_kept_for_its_age(monkeypatch):
    monkeypatch.setattr(cleaning, "KEPT_FOR", timedelta(0))


FORWARD_STEP = {"answer_likelihood, sample_embedding letters/tiny"}
MESSAGE = "the catalog is older than the work. Was it restored from a backup? Nothing was changed; "


def catalog_of(place):
    return place.home / "warehouse" / "catalog.sqlite"


def warehouse_of(place):
    warehouse = build_resources(place.home).warehouse
    assert isinstance(warehouse, Warehouse)
    return warehouse


def backup(place):
    """The catalog's bytes, all of them: nothing waits in the write-ahead log while nobody has it open."""
    wal = catalog_of(place).with_name("catalog.sqlite-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    return catalog_of(place).read_bytes()


def restore(place, content):
    catalog_of(place).write_bytes(content)
    for beside in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
        catalog_of(place).with_name(beside).unlink(missing_ok=True)


def files(place):
    """What work left: tables, artifacts and the catalog, without what SQLite makes for a reader."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("artifacts", "warehouse")
        for path in (place.home / folder).rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def refused(capsys, place, *arguments):
    """What a command says that does not do its work."""
    capsys.readouterr()
    assert main(["--profile", str(place.profile), *arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


@pytest.fixture
def older(place, capsys):
    """The small profile whose catalog was put back to before its last work, and the newer catalog."""
    older, tables = backup(place), set(warehouse_of(place).tables.rglob("*.parquet"))
    change_profile(place, scoring={"max_length": 60})
    output_of(capsys, place, "refresh", "scores/entropy")
    # The catalog that is put back does not know of these.
    assert set(warehouse_of(place).tables.rglob("*.parquet")) > tables
    newer = backup(place)
    restore(place, older)
    return place, newer


COMMANDS = [
    ["run"],
    ["refresh"],
    ["refresh", f"{TOKEN_LENGTH}"],
    ["status"],
    ["status", "--json"],
    ["clean"],
    ["clean", "--dry-run"],
    ["clean", "--removed"],
    ["disk"],
    ["report"],
    ["verdict"],
    ["verify", ENTROPY],
    ["lineage", ENTROPY],
    ["diff", ENTROPY, TOKEN_LENGTH],
    ["explain", "0"],
    ["export", ENTROPY, "--to", "exported"],
]


def test_every_command_stops_and_no_file_is_lost(older, capsys, monkeypatch, tmp_path):
    place, newer = older
    monkeypatch.chdir(tmp_path)
    before, at = files(place), warehouse_of(place).snapshot()
    for command in COMMANDS:
        said = refused(capsys, place, *command)
        assert f"the warehouse at {place.home}/warehouse is at snapshot {at}, but Dagster's record of " in said
        assert f"{MESSAGE}restore the newer catalog, or restore the whole folder {place.home} from one backup" in said
        assert files(place) == before
    assert list(tmp_path.iterdir()) == []
    # One may look at what the catalog has.
    assert f"{at}" in output_of(capsys, place, "sql", "FROM current_snapshot()")
    # With the newer one, all is as it was.
    restore(place, newer)
    assert not FORWARD_STEP & due(capsys, place).keys()
    output_of(capsys, place, "clean")
    output_of(capsys, place, "verify", ENTROPY)


def test_what_dagster_starts_stops_too(older):
    place, _ = older
    before = files(place)
    profile = load_profile(str(place.profile))
    definitions = build_definitions(profile)
    (nightly,) = [*(build_automation(profile, build_assets(profile)).schedules or ())]
    assert isinstance(nightly, dg.ScheduleDefinition)
    with open_instance(place.home) as instance, dg.build_schedule_context(instance=instance) as context:
        for name, partition in (("clean", None), ("experiment", TOKEN_LENGTH)):
            job = definitions.resolve_job_def(name)
            with pytest.raises(OlderCatalog, match=MESSAGE.split(".")[0]):
                job.execute_in_process(instance=instance, partition_key=partition)
        with pytest.raises(dg.DagsterUserCodeExecutionError) as raised:
            nightly.evaluate_tick(context)
        assert isinstance(raised.value.__cause__, OlderCatalog)
    assert files(place) == before


def test_one_write_that_the_catalog_lacks_is_enough(place, capsys):
    older = backup(place)
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}})
    assert refreshed(capsys, place, TOKEN_LENGTH) == {f"benchmark_result {TOKEN_LENGTH}"}
    restore(place, older)
    assert f"record of benchmark_result {TOKEN_LENGTH} names snapshot " in refused(capsys, place, "status")
    assert MESSAGE in refused(capsys, place, "clean")


def test_numbers_that_came_again_are_not_taken_for_the_same_snapshots(place, capsys):
    older = backup(place)
    change_profile(place, evaluation={"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}})
    output_of(capsys, place, "refresh", TOKEN_LENGTH)
    newest = warehouse_of(place).snapshot()
    restore(place, older)
    while warehouse_of(place).snapshot() <= newest:
        warehouse_of(place).replace(
            "scores.zip", {"pool": "other", "model": None}, "SELECT 'a' AS sample_id, 1 AS score"
        )
    before = files(place)
    said = refused(capsys, place, "clean")
    assert (
        f"has another snapshot {newest}, because it was written to after it was restored, but Dagster's record of"
        in said
    )
    assert files(place) == before


@pytest.mark.parametrize("left", [None, b""])
def test_a_catalog_that_is_gone_is_missed(place, capsys, left):
    catalog_of(place).unlink()
    if left is not None:
        catalog_of(place).write_bytes(left)
    before = files(place)
    for command in (["status"], ["clean"], ["run"], ["report"]):
        said = refused(capsys, place, *command)
        assert f"the warehouse at {place.home}/warehouse has no catalog, but Dagster's record of " in said
        assert files(place) == before


def test_the_catalog_of_another_home_is_refused(place, capsys, tmp_path):
    other = Warehouse(folder=str(tmp_path / "warehouse"))
    other.replace("scores.ifd", {"pool": "p", "model": "m"}, "SELECT 'a' AS sample_id, 1 AS score")
    restore(place, (tmp_path / "warehouse" / "catalog.sqlite").read_bytes())
    before = files(place)
    for command in (["status"], ["clean"], ["verdict"]):
        assert MESSAGE in refused(capsys, place, *command)
        assert files(place) == before


def test_records_of_an_earlier_version_name_a_number_alone(older, capsys, monkeypatch):
    place, _ = older
    monkeypatch.setattr("assets.record.catalog_age.AFTERWARDS", f"{AFTERWARDS}, of another version")
    assert MESSAGE in refused(capsys, place, "clean")


def test_without_any_catalog_the_tables_are_made_again_and_no_job(place, capsys):
    with open_instance(place.home) as instance:
        before = {node: made.data_version for node, made in all_made(instance)}
    trained = {path: path.stat().st_mtime_ns for path in (place.home / "artifacts").rglob("*.safetensors")}
    catalog_of(place).unlink()
    for command in (["run"], ["sql", "FROM scores.entropy"]):
        said = refused(capsys, place, *command)
        assert "folders warehouse and dagster" in said or "the folder dagster beside it" in said
        assert "makes the tables again and computes no complete job again" in said.replace(",", "")
        assert "run `selection-platform run` first" not in said
    for folder in ("warehouse", "dagster"):
        shutil.rmtree(place.home / folder)
    output_of(capsys, place, "run")
    assert {path: path.stat().st_mtime_ns for path in (place.home / "artifacts").rglob("*.safetensors")} == trained
    with open_instance(place.home) as instance:
        after = {node: made.data_version for node, made in all_made(instance)}
    # Costs are lost.
    assert {node for node in before if before[node] != after[node]} <= {("cost_ledger", None), ("report", None)}


def all_made(instance):
    return [
        ((key.to_user_string(), partition), made)
        for key in instance.get_asset_keys()
        for partition, made in latest_provenance(instance, key).items()
    ]


def test_an_older_dagster_instance_loses_no_rows(place, capsys):
    """What is not in its records is made again; the warehouse's newest snapshot stays whole."""
    dagster = place.home / "dagster"
    shutil.copytree(dagster, place.folder / "dagster")
    change_profile(place, scoring={"max_length": 60})
    output_of(capsys, place, "refresh", "scores/entropy")
    scores = "FROM scores.entropy ORDER BY ALL"
    newest, rows = snapshots(warehouse_of(place))[-1], warehouse_of(place).query(scores)
    shutil.rmtree(dagster)
    shutil.copytree(place.folder / "dagster", dagster)
    output_of(capsys, place, "clean")
    assert snapshots(warehouse_of(place))[-1] == newest
    assert warehouse_of(place).query(scores).equals(rows)
    assert due(capsys, place).keys() >= FORWARD_STEP
