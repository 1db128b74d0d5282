"""What the asset of a pool writes and says: the mask, what rows lost, and how they were read."""

import json

import dagster as dg
import pyarrow.parquet as pq
import pytest
import yaml

from assets import build_assets
from resources import build_resources
from resources.conversations import conversations_sql
from selection_platform.cli.main import main
from selection_platform.configuration.profile import load_profile
from selection_platform.pools.raw_pool import write_raw_pool

pytestmark = pytest.mark.slow


def row(number, **answer):
    first = {"role": "assistant", "content": "One.", **answer}
    second = {"role": "assistant", "content": "Two."}
    turns = [{"role": "user", "content": f"q{number}"}, first, {"role": "user", "content": "more"}, second]
    return {"messages": turns, "id": number, "rejected": "no"}


def materialised(tmp_path, rows, **arms):
    file = tmp_path / "own.yaml"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    file.write_text(
        yaml.safe_dump(
            {
                "description": "x",
                "pools": {"mine": {"source": {"files": "rows.jsonl"}, "decontaminate": False}},
                "budgets": [2],
                "arms": {"random": {}, **arms},
                "models": {"tiny": {"pretraining": {"steps": 1, "context": 4096}}},
                "evaluation": {"benchmarks": {}},
            }
        )
    )
    profile = load_profile(str(file))
    resources = build_resources(tmp_path / "home" / profile.name, profile.jobs)
    write_raw_pool(profile.pools["mine"], resources.artifacts.raw_pool("mine"))
    given = {"selection": ["pool"], "partition_key": "mine", "resources": resources._asdict()}
    return file, resources.warehouse, dg.materialize(build_assets(profile), **given)


def test_the_mask_and_what_rows_lost_are_in_the_warehouse_and_said(tmp_path, monkeypatch, capsys):
    rows = [row(0), row(1, weight=0), row(2, thinking="hm"), row(3)]
    file, warehouse, result = materialised(tmp_path, rows)
    stored = warehouse.query("SELECT messages[1].content AS question, untrained FROM pools.samples ORDER BY 1").rows()
    assert stored == [("q0", None), ("q1", [1]), ("q2", None), ("q3", None)]
    assert warehouse.query("FROM pools.trimmed").rows() == [("mine", "field rejected left out", 4)]
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["form"].value == "messages: a list of {role, content} in messages"
    assert metadata["fields not read"].value == "id"
    samples = tmp_path / "samples.parquet"
    values = {"pool": "mine"}
    warehouse.export(conversations_sql(warehouse, "30_features/samples_to_score", values), samples, values)
    assert sorted(map(str, pq.read_table(samples)["untrained"].to_pylist())) == ["None", "None", "None", "[1]"]
    monkeypatch.setenv("SELECTION_PLATFORM_HOME", str(tmp_path / "home"))
    capsys.readouterr()
    main(["--profile", str(file), "status", "--json"])
    assert json.loads(capsys.readouterr().out)["trimmed"] == {"mine": {"field rejected left out": 4}}
    main(["--profile", str(file), "status"])
    assert "mine: rows lost parts: field rejected left out (4)" in capsys.readouterr().out


def test_a_field_that_an_arm_scores_by_is_read(tmp_path, caplog):
    rows = [{**row(number), "grade": number} for number in range(4)]
    with caplog.at_level("INFO", logger="selection_platform.pools.pool"):
        _, _, result = materialised(tmp_path, rows, graded={"column": "grade", "train": False})
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["fields not read"].value == "id"
    assert "pool: fields not read: id" in caplog.messages
