"""Arms with scores of the user's own: from profile to selection and cost, and what a changed file makes due."""

import json

import polars as pl
import pytest
import yaml

from assets import build_assets
from assets.record.content import recorded_rows
from assets.record.provenance import latest_provenance
from orchestration.materialize import open_instance
from selection_platform.cli.main import main
from selection_platform.configuration.arm_settings import ArmSettings
from selection_platform.configuration.profile import load_profile
from selection_platform.configuration.settings import PoolSizeStudySettings
from tests.small_run import OwnPlace, conversations, due, output_of

ARMS = {
    "random": {"train": False},
    "stars": {"column": "stars", "order": "ascending", "train": False},
    "judge-v2": {"scores": "judge.parquet", "cost": {"gpu_seconds": 60, "cpu_seconds": 7}, "train": False},
}


def recorded_columns(place):
    """Table and column of all that was recorded of written rows."""
    with open_instance(place.home) as instance:
        return {
            (content.table, column.strip('"'))
            for key in instance.get_asset_keys()
            for made in latest_provenance(instance, key).values()
            for content, _ in recorded_rows(made.metadata)
            for column in content.columns.split(", ")
        }


class Place(OwnPlace):
    """A folder with a profile, its pool of 30 rows and a home."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder, monkeypatch, "own")
        rows = [{"messages": row, "stars": number} for number, row in enumerate(conversations(30, seed=0))]
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        profile = {
            "pools": {"chats": {"source": {"files": "rows.jsonl"}, "decontaminate": False}},
            "budgets": [3],
            "arms": ARMS,
        }
        self.profile.write_text(yaml.safe_dump(profile))

    def write_scores(self, ids):
        table = pl.DataFrame({"sample_id": ids, "score": range(len(ids))})
        table.write_parquet(self.profile.with_name("judge.parquet"))


@pytest.fixture
def own(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


@pytest.mark.slow
def test_from_profile_to_selection_and_cost(own, capsys):
    assert main(["--profile", str(own.profile), "status", "--json"]) == 0
    missing = own.profile.with_name("judge.parquet")
    assert json.loads(capsys.readouterr().out)["faults"] == [
        f"arms.judge-v2.scores: there is no file {missing}; correct the path"
    ]
    own.write_scores(["0" * 32])
    output_of(capsys, own, "refresh", "stars/chats/3/s0")
    selected = "SELECT file_row FROM selections.samples JOIN pools.samples USING (sample_id) WHERE experiment = '{}'"
    lowest = own.rows(capsys, selected.format("stars/chats/3/s0") + ' ORDER BY "position"')
    assert [row["file_row"] for row in lowest] == [1, 2, 3]

    ids = [row["sample_id"] for row in own.rows(capsys, "SELECT sample_id FROM pools.samples ORDER BY sample_id")]
    own.write_scores(ids)
    output_of(capsys, own, "run")
    # The rows of an own arm are recorded, and read with the others.
    assert output_of(capsys, own, "verify", "--deep").startswith("Read: ")
    assert {("scores.stars", "score"), ('scores."judge-v2"', "score")} <= recorded_columns(own)
    best = own.rows(
        capsys, "SELECT sample_id FROM selections.samples WHERE experiment LIKE 'judge%' ORDER BY \"position\""
    )
    assert [row["sample_id"] for row in best] == ids[:-4:-1]
    (cost,) = own.rows(
        capsys,
        "SELECT gpu_seconds, cpu_seconds FROM reports.experiment_costs "
        "WHERE experiment LIKE 'judge%' AND part = 'selecting alone'",
    )
    assert cost["gpu_seconds"] == 60
    assert 7 < cost["cpu_seconds"] < 60
    assert "judge-v2" in output_of(capsys, own, "explain", ids[0])
    assert "the highest by the numbers in judge.parquet" in output_of(capsys, own, "methods")

    # Another place, or the same content written again, is the same file; another content makes this arm due alone.
    assert due(capsys, own) == {}
    own.write_scores(ids[::-1])
    found = due(capsys, own)
    assert found.keys() == {"scores/judge-v2 chats"}
    (cause,) = found["scores/judge-v2 chats"][1]
    assert cause.startswith("file of scores ")
    own.write_scores(ids)
    assert due(capsys, own) == {}


def test_a_wrong_field_is_found_before_a_model_scores_anything():
    arms = {"ifd": ArmSettings(train=False), "stars": ArmSettings(column="stars", train=False)}
    profile = load_profile("demo").model_copy(update={"arms": arms, "pool_size_study": PoolSizeStudySettings()})
    made = [key.to_user_string() for asset in build_assets(profile) for key in asset.keys]
    assert made.index("pool") < made.index("scores/stars") < made.index("base_model") < made.index("answer_likelihood")
