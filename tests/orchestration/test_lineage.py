"""`lineage` says what was recorded, and `verify` is not to be fooled by who changes rows behind its back."""

import json

import pytest

from assets.record import score_table
from assets.record.provenance import latest_provenance
from orchestration.materialize import open_instance
from resources import build_resources
from selection_platform.cli.main import main
from selection_platform.job.folder import read_manifest
from selection_platform.text.rendering import template_hash
from sql.queries import load_sql
from tests.small_run import (
    ENTROPY,
    RANDOM,
    TOKEN_LENGTH,
    change_profile,
    conversations,
    output_of,
    refreshed,
    version,
    write_pool,
)

pytestmark = pytest.mark.data


def lineage(capsys, place, experiment):
    return json.loads(output_of(capsys, place, "lineage", experiment, "--json"))


def verify(capsys, place, experiment):
    """Exit status, what was found, and the message on standard error."""
    capsys.readouterr()
    code = main(["--profile", str(place.profile), "verify", experiment, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def warehouse_of(place):
    return build_resources(place.home).warehouse


def overwrite(place, experiment, statement):
    """Put other rows in the place of an experiment's selection, past the graph."""
    warehouse = warehouse_of(place)
    rows = warehouse.query(
        'SELECT "position", sample_id, score FROM selections.samples WHERE experiment = $e', {"e": experiment}
    )
    file = place.folder / "rows.parquet"
    rows.write_parquet(file)
    warehouse.replace("selections.samples", {"experiment": experiment}, statement.replace("rows", f"'{file}'"))


def test_lineage_goes_back_to_the_source(place, capsys):
    found = lineage(capsys, place, ENTROPY)
    assert [(each["depth"], each["asset"], each["partition"]) for each in found["partitions"]] == [
        (0, "benchmark_result", ENTROPY),
        (1, "benchmark_data", None),
        (1, "checkpoint", ENTROPY),
        (2, "base_model", "tiny"),
        (3, "pool", "letters"),
        (4, "raw_pool", "letters"),
        (2, "selection", ENTROPY),
        (3, "scores/entropy", "letters/tiny"),
        (4, "answer_likelihood", "letters/tiny"),
    ]
    assert (found["experiment"], found["seed"]) == (ENTROPY, 0)
    assert found["templates"] == [template_hash()]
    assert {"torch", "duckdb", "transformers"} <= set(found["packages"])
    manifest = read_manifest(build_resources(place.home).artifacts.base_model("tiny")) or {}
    assert found["base_model"] == {
        "name": "tiny",
        "source": "pretrained",
        "parameters": manifest["parameters"],
        "weights_hash": manifest["weights_hash"],
    }


def test_lineage_says_what_was_recorded(place, capsys):
    found = {each["asset"]: each for each in lineage(capsys, place, ENTROPY)["partitions"]}
    with open_instance(place.home) as instance:
        runs = {run.run_id for run in instance.get_runs()}
        keys = {key.to_user_string(): key for key in instance.get_asset_keys()}
        for name, each in found.items():
            made = latest_provenance(instance, keys[name])[each["partition"]]
            assert each["run_id"] == made.run_id
            assert each["data_version"] == made.data_version
    assert {each["run_id"] for each in found.values()} <= runs
    assert found["checkpoint"]["settings"]["fine_tuning.learning_rate"] == 0.001
    assert found["checkpoint"]["inputs"][f"selection {ENTROPY}"] == found["selection"]["data_version"]
    # What is read from the source alone knows nothing of the warehouse.
    assert found["raw_pool"]["warehouse_snapshot"] is None
    assert 0 < found["selection"]["warehouse_snapshot"] < found["checkpoint"]["warehouse_snapshot"]
    assert all(each["code_version"].startswith("1") and not each["other_packages"] for each in found.values())


def test_lineage_for_reading(place, capsys):
    text = output_of(capsys, place, "lineage", ENTROPY)
    lines = text.splitlines()
    assert lines[0] == f"experiment  {ENTROPY}"
    assert f"    selection {ENTROPY}" in lines
    assert f"      data      {version(place, 'selection', ENTROPY)}" in lines
    assert any(
        line.strip().startswith("settings  fine_tuning.") or "fine_tuning.learning_rate 0.001" in line for line in lines
    )
    assert max(map(len, lines)) <= 120
    assert text.count("raw_pool letters") == 1


def test_lineage_says_what_was_made_again_since(place, capsys):
    before = version(place, "checkpoint", TOKEN_LENGTH)
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    refreshed(capsys, place, "checkpoint")
    (result, *_) = lineage(capsys, place, TOKEN_LENGTH)["partitions"]
    assert result["remade_since"] == [f"checkpoint {TOKEN_LENGTH}"]
    text = output_of(capsys, place, "lineage", TOKEN_LENGTH)
    assert f"since then checkpoint {TOKEN_LENGTH} was made again; it was {before}" in text


@pytest.mark.parametrize("experiment", [RANDOM[1], TOKEN_LENGTH, ENTROPY])
def test_a_selection_is_rebuilt(place, capsys, experiment):
    code, found, message = verify(capsys, place, experiment)
    assert (code, message) == (0, "")
    assert found["same"]
    assert found["count"] == found["selected"]["count"] == found["trained"]["count"] == 6
    text = output_of(capsys, place, "verify", experiment)
    assert text.count("the same ids in the same order") == 2


def test_it_is_rebuilt_from_the_past_and_not_from_today(place, capsys):
    # Today's pool and scores are others, and would give another selection.
    write_pool(place, conversations(60, seed=2))
    refreshed(capsys, place, "scores/token_length")
    selected = set(warehouse_of(place).query(load_sql("50_selections/ids"), {"experiment": TOKEN_LENGTH})["sample_id"])
    assert not selected & set(warehouse_of(place).query("FROM pools.samples")["sample_id"])
    code, found, _ = verify(capsys, place, TOKEN_LENGTH)
    assert code == 0
    assert found["same"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            'FROM rows WHERE "position" != 3',
            "other ids: 1 of those rebuilt are missing and 0 are there instead, from place 3 on",
        ),
        (
            "SELECT * REPLACE (CASE WHEN \"position\" = 2 THEN 'forged' ELSE sample_id END AS sample_id) FROM rows",
            "other ids: 1 of those rebuilt are missing and 1 are there instead, from place 2 on",
        ),
        ('SELECT * REPLACE (7 - "position" AS "position") FROM rows', "the same ids in another order, from place 1 on"),
        ("FROM rows WHERE false", "other ids: 6 of those rebuilt are missing and 0 are there instead, from place 1 on"),
    ],
    ids=["deleted", "forged", "reversed", "emptied"],
)
def test_rows_that_were_changed_behind_its_back_are_found(place, capsys, statement, message):
    overwrite(place, TOKEN_LENGTH, statement)
    code, found, error = verify(capsys, place, TOKEN_LENGTH)
    assert code == 1
    assert message in error
    assert "behind the platform's back" in error
    assert "Traceback" not in error
    assert not found["same"]
    # What the checkpoint was trained on was sound.
    assert found["trained"]["first_difference"] is None
    # The others are as they were.
    assert verify(capsys, place, ENTROPY)[0] == 0


def test_rows_that_were_changed_before_the_training_are_found(place, capsys):
    rows = warehouse_of(place).query("FROM selections.samples")
    overwrite(place, TOKEN_LENGTH, 'SELECT * REPLACE (7 - "position" AS "position") FROM rows')
    change_profile(place, fine_tuning={"learning_rate": 0.002})
    refreshed(capsys, place, TOKEN_LENGTH)
    # Put back, as if nothing had been.
    overwrite(place, TOKEN_LENGTH, 'SELECT * REPLACE (7 - "position" AS "position") FROM rows')
    assert warehouse_of(place).query("FROM selections.samples").sort(rows.columns).equals(rows.sort(rows.columns))
    code, found, error = verify(capsys, place, TOKEN_LENGTH)
    assert code == 1
    assert found["selected"]["first_difference"] is None
    assert found["trained"]["first_difference"] == 1
    assert "trained on the same ids in another order, from place 1 on; it is of rows that were changed" in error


def test_a_checkpoint_of_an_earlier_selection_is_told_from_a_forged_one(place, capsys, monkeypatch):
    def load(name):
        sql = load_sql(name)
        return sql.replace("END::DOUBLE", "END::DOUBLE * -1") if name == "40_scores/token_length" else sql

    monkeypatch.setattr(score_table, "load_sql", load)
    # New rows, so that the scores are made again.
    write_pool(place, [*conversations(60, seed=0), *conversations(20, seed=3)])
    refreshed(capsys, place, "selection")
    code, found, error = verify(capsys, place, TOKEN_LENGTH)
    assert code == 1
    assert found["selected"]["first_difference"] is None
    assert found["trained_on_another"]
    assert "an earlier selection, which was replaced since: `selection-platform refresh` trains again" in error
    refreshed(capsys, place, TOKEN_LENGTH)
    assert verify(capsys, place, TOKEN_LENGTH)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lineage", "entropi"], "no experiment 'entropi'"),
        (["verify", "base/tiny"], "no experiment 'base/tiny' that selects samples"),
    ],
)
def test_unknown_experiments_are_refused(place, capsys, arguments, message):
    assert main(["--profile", str(place.profile), *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_what_was_never_made_is_said_so(place, capsys):
    change_profile(place, arms={"random": {"seeds": [0, 1, 2]}})
    for command in ("lineage", "verify"):
        assert main(["--profile", str(place.profile), command, RANDOM[2]]) == 1
        assert "run `selection-platform run` first" in capsys.readouterr().err


def test_a_snapshot_that_is_gone_is_said_so(place):
    with pytest.raises(ValueError, match="has no snapshot 99999"):
        warehouse_of(place).query("SELECT 1", at=99_999)
