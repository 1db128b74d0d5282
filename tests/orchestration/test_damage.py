"""What changed on the disk is not used without a word: `verify --deep` finds it, and `refresh --rebuild` mends it."""

import json
import os

import dagster as dg
import pytest

from assets.record.content import recorded_rows
from assets.record.provenance import latest_provenance
from orchestration.damage import damaged
from orchestration.materialize import open_instance
from orchestration.workspace import open_workspace
from resources import build_resources
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.definitions import build_definitions
from selection_platform.job.folder import FILES
from tests.small_run import ENTROPY, RANDOM, change_profile, due, materializations, output_of

pytestmark = pytest.mark.data

MORE_ITEMS = {"evaluation": {"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}}}
SHORTER = {"scoring": {"max_length": 60}}


def deep(capsys, place, *experiment):
    """Exit status, what was found, and the message on standard error."""
    capsys.readouterr()
    code = main(["--profile", str(place.profile), "verify", "--deep", *experiment, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def faults(capsys, place, *experiment):
    """Who wrote what is damaged, where it lies, and the command that mends it."""
    code, found, _ = deep(capsys, place, *experiment)
    assert code == (1 if found["faults"] else 0)
    return [(each["made"], each["where"], each["remedy"]) for each in found["faults"]]


def refused(capsys, place, *arguments):
    capsys.readouterr()
    assert main(["--profile", str(place.profile), *arguments]) == 1
    return capsys.readouterr().err


def artifacts(place):
    return build_resources(place.home).artifacts


def flip(file, at):
    """Another bit at a place, and the file's old time."""
    state, content = file.stat(), bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def table_file(place, table, *partition):
    (file,) = (place.home / "warehouse" / "tables").joinpath(*table.split("."), *partition).glob("*.parquet")
    return file


def rebuilt(capsys, place, name):
    """The partitions that a rebuild made again."""
    before = materializations(place)
    output_of(capsys, place, "refresh", name, "--rebuild")
    return {node for node, run in materializations(place).items() if before.get(node) != run}


def test_all_is_as_it_was_written(place, capsys):
    code, found, _ = deep(capsys, place)
    assert (code, found["faults"], found["unknown"]) == (0, [], [])
    text = output_of(capsys, place, "verify", "--deep")
    assert (
        text == f"Read: the files of {found['folders']} folders, the rows of {found['tables']} partitions of tables\n"
    )
    # benchmark_data, raw_pool, pool, contamination, base_model, forward pass, 4 checkpoints, 5 results, report.
    assert found["folders"] == 16
    with open_instance(place.home) as instance:
        written = [
            content.table
            for key in instance.get_asset_keys()
            for made in latest_provenance(instance, key).values()
            for content, _ in recorded_rows(made.metadata)
        ]
    assert found["tables"] == len(written)
    assert set(written) == {
        "pools.contamination", "pools.compared_items",
        "pools.samples", "pools.held_out", "pools.dropped", "pools.trimmed", "features.token_count",
        "features.answer_likelihood", "features.sample_embedding", "scores.random", "scores.token_length",
        "scores.entropy", "selections.samples", "experiments.keys", "experiments.training", "benchmarks.results",
        "benchmarks.items", "reports.leaderboard", "reports.verdict", "reports.selection_overlap",
        "reports.selection_profile", "reports.cost_ledger", "reports.experiment_costs",
    }  # fmt: skip


def test_the_swapped_weights_of_two_seeds_are_not_evaluated(place, capsys):
    one, other = (place.home / "artifacts" / "checkpoint" / key / "model.safetensors" for key in RANDOM[:2])
    right = one.read_bytes()
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)
    assert one.read_bytes() != right
    change_profile(place, **MORE_ITEMS)
    message = refused(capsys, place, "refresh", RANDOM[0])
    assert f"benchmark_result  {RANDOM[0]}: {one}: has other bytes than were written" in message
    assert f"`selection-platform refresh {RANDOM[0]} --rebuild`" in message
    assert [made for made, _, _ in faults(capsys, place)] == [f"checkpoint {key}" for key in RANDOM[:2]]
    assert rebuilt(capsys, place, RANDOM[0]) == {f"checkpoint {RANDOM[0]}", f"benchmark_result {RANDOM[0]}"}
    assert one.read_bytes() == right
    assert [made for made, _, _ in faults(capsys, place)] == [f"checkpoint {RANDOM[1]}"]


@pytest.mark.parametrize(
    ("file", "key", "changed", "refreshed"),
    [
        ("base_model/tiny/tokenizer.json", "tiny", SHORTER, "answer_likelihood"),
        ("benchmark_data/mmlu.jsonl", "benchmark_data", MORE_ITEMS, ENTROPY),
        (f"checkpoint/{ENTROPY}/config.json", ENTROPY, MORE_ITEMS, ENTROPY),
    ],
)
def test_a_changed_file_is_not_used(place, capsys, file, key, changed, refreshed):
    path = place.home / "artifacts" / file
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    os.utime(path, ns=(0, 0))
    change_profile(place, **changed)
    message = refused(capsys, place, "refresh", refreshed)
    assert f"{path}: has other bytes than were written" in message
    assert f"`selection-platform refresh {key} --rebuild`" in message


def test_a_damaged_folder_of_a_step_that_never_ended_is_found(place, monkeypatch):
    path = place.home / f"artifacts/checkpoint/{ENTROPY}/config.json"
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with open_workspace(load_profile(str(place.profile))) as workspace:
        monkeypatch.setattr(workspace.staleness, "provenance", lambda *_: None)
        steps = [step for step in workspace.staleness.graph.steps if step.partition_key == ENTROPY]
        assert [str(step) for step in damaged(workspace, steps)] == [f"checkpoint  {ENTROPY}"]


def test_a_flipped_bit_that_keeps_size_and_time_is_found_and_mended(place, capsys):
    folder = artifacts(place).scoring("letters/tiny") / "answer_likelihood" / "000"
    shard, weights = folder / "part-00000.parquet", artifacts(place).base_model("tiny") / "model.safetensors"
    lengths = table_file(place, "scores.token_length", "pool=letters", "model=tiny")
    samples = table_file(place, "pools.samples", "pool=letters")
    for file in (shard, weights, lengths, samples):
        flip(file, file.stat().st_size // 3)
    assert faults(capsys, place) == [
        ("pool letters", "table pools.samples (pool letters)", "selection-platform refresh letters --rebuild"),
        ("base_model tiny", str(weights), "selection-platform refresh tiny --rebuild"),
        ("answer_likelihood letters/tiny", str(shard), "selection-platform refresh letters/tiny --rebuild"),
        (
            "scores/token_length letters/tiny",
            "table scores.token_length (model tiny, pool letters)",
            "selection-platform refresh letters/tiny --rebuild",
        ),
    ]
    assert [made for made, _, _ in faults(capsys, place, RANDOM[0])] == ["pool letters", "base_model tiny"]
    assert due(capsys, place) == {}
    assert rebuilt(capsys, place, "letters") == {"pool letters"}
    assert rebuilt(capsys, place, "tiny") == {"base_model tiny"}
    assert rebuilt(capsys, place, "letters/tiny") == {
        "answer_likelihood letters/tiny", "sample_embedding letters/tiny", "scores/token_length letters/tiny",
    }  # fmt: skip
    assert faults(capsys, place) == []
    assert due(capsys, place) == {}


def test_a_flipped_bit_around_the_rows_of_a_table_is_found(place, capsys):
    file = table_file(place, "scores.entropy", "pool=letters", "model=tiny")
    # In the name of the program that wrote it.
    flip(file, file.stat().st_size - 50)
    _, found, message = deep(capsys, place)
    assert [(each["made"], each["where"]) for each in found["faults"]] == [("scores/entropy letters/tiny", str(file))]
    assert "has other bytes than were written, around the same rows" in message


def test_a_lost_file_of_a_table_is_found_and_mended(place, capsys):
    table_file(place, "scores.entropy", "pool=letters", "model=tiny").unlink()
    made, where, _ = faults(capsys, place)[0]
    assert (made, where) == ("scores/entropy letters/tiny", "table scores.entropy (model tiny, pool letters)")
    plan = output_of(capsys, place, "refresh", "letters/tiny", "--rebuild", "--dry-run")
    assert "its files or rows are not what was written" in " ".join(plan.split())
    assert rebuilt(capsys, place, "letters/tiny") == {"scores/entropy letters/tiny"}
    assert faults(capsys, place) == []


def test_damaged_rows_are_made_again_from_the_files_of_their_job(place, capsys):
    shard = artifacts(place).scoring("letters/tiny") / "answer_likelihood" / "000" / "part-00000.parquet"
    before = shard.stat().st_ino
    table_file(place, "features.answer_likelihood", "pool=letters", "model=tiny", "reader=base").unlink()
    made = faults(capsys, place)[0][0]
    assert made == "answer_likelihood letters/tiny"
    assert made in rebuilt(capsys, place, "letters/tiny")
    assert shard.stat().st_ino == before
    assert faults(capsys, place) == []


def test_a_report_that_was_written_again_is_no_fault(place, capsys):
    page = artifacts(place).report() / "index.html"
    before = page.read_bytes()
    # The page prints the newest snapshot.
    build_resources(place.home).warehouse.add_score_table("scores.mine")
    output_of(capsys, place, "report")
    assert page.read_bytes() != before
    assert faults(capsys, place) == []


def test_a_folder_that_is_gone_is_a_fault(place, capsys):
    folder = artifacts(place).checkpoint(ENTROPY)
    folder.rename(folder.with_name("elsewhere"))
    assert faults(capsys, place) == [
        (f"checkpoint {ENTROPY}", str(folder), f"selection-platform refresh {ENTROPY} --rebuild")
    ]


def test_what_an_earlier_version_wrote_is_not_known(place, capsys):
    folder = artifacts(place).base_model("tiny")
    (folder / FILES).unlink()
    flip(folder / "model.safetensors", 9000)
    code, found, _ = deep(capsys, place)
    assert (code, found["unknown"]) == (0, [str(folder)])
    assert "Not known of 1" in output_of(capsys, place, "verify", "--deep")


def test_without_an_experiment_there_is_only_the_deep_check(place, capsys):
    assert "name an experiment, or write --deep" in refused(capsys, place, "verify")


def test_the_nightly_job_fails_with_what_it_found(place, capsys):
    definitions = build_definitions(load_profile(str(place.profile)))
    schedule = definitions.resolve_schedule_def("verify_nightly")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    job = definitions.resolve_job_def("verify")
    with open_instance(place.home) as instance:
        assert job.execute_in_process(instance=instance).success
        flip(artifacts(place).base_model("tiny") / "model.safetensors", 9000)
        with pytest.raises(
            dg.Failure, match=r"base_model tiny: .*model\.safetensors has other bytes than were written"
        ):
            job.execute_in_process(instance=instance)
