"""Every check passes on a sound run; unsound data is refused before it is committed, and a warning stops nothing."""

import dagster as dg
import pytest

from assets import build_assets
from assets.record.checks import (
    Completeness,
    final_loss_result,
    score_results,
    separation_verifier,
    size_result,
    template_result,
    trained_samples_result,
    truncation_result,
)
from assets.record.score_table import replace_scores
from orchestration.graph import Graph
from orchestration.materialize import materialize_step, open_instance
from resources import build_resources
from selection_platform.configuration.profile import load_profile
from selection_platform.experiments.methods import METHODS
from tests.small_run import TOKEN_LENGTH, TRAINED, version

PARTITION: dict[str, str] = {"pool": "p", "model": "m"}
SCORES = {"finiteness", "spread", "coverage", "length_correlation"}


def evaluations(place):
    """Each check result that was recorded: its asset, check and partition, and whether it passed."""
    with open_instance(place.home) as instance:
        for asset in build_assets(load_profile(str(place.profile))):
            for spec in asset.check_specs:
                for record in instance.event_log_storage.get_asset_check_execution_history(spec.key, limit=100):
                    evaluation = record.event.asset_check_evaluation if record.event else None
                    assert evaluation is not None
                    yield spec.asset_key.to_user_string(), spec.name, evaluation.partition, evaluation.passed


@pytest.mark.data
def test_checks_come_with_every_materialisation_of_a_sound_run(place):
    found = list(evaluations(place))
    by_asset = {(asset, check) for asset, check, *_ in found if check != "up_to_date"}
    assert by_asset == {
        *((f"scores/{method}", check) for method in ("random", "token_length", "entropy") for check in SCORES),
        ("pool", "separation"),
        ("pool", "size"),
        ("token_count", "completeness"),
        ("answer_likelihood", "completeness"),
        ("answer_likelihood", "truncation"),
        ("sample_embedding", "completeness"),
        ("selection", "budget"),
        ("selection", "ids"),
        ("checkpoint", "final_loss"),
        ("checkpoint", "trained_samples"),
        ("benchmark_result", "template"),
    }
    experiments = {"base/tiny", *TRAINED}
    assert {partition for _, check, partition, _ in found if check in ("ids", "template")} == experiments
    made = {(asset, partition) for asset, check, partition, _ in found if check == "up_to_date"}
    assert made == {
        (asset, partition)
        for step in Graph(build_assets(load_profile(str(place.profile)))).steps
        for asset, partition in [(key.to_user_string(), step.partition_key) for key in step.asset.keys]
    }
    # The longest answers are picked by length, which is what this check is to find; it stopped nothing.
    failed = {(asset, check) for asset, check, _, passed in found if not passed}
    assert failed == {("scores/token_length", "length_correlation")}


@pytest.mark.data
def test_an_evaluation_with_another_template_is_refused(place, monkeypatch):
    monkeypatch.setattr("assets.record.settings_used.template_hash", lambda: "other")
    profile = load_profile(str(place.profile))
    assets = build_assets(profile)
    steps = Graph(assets).steps
    (step,) = [step for step in steps if {"benchmark_result", TOKEN_LENGTH} <= step.names]
    before = version(place, "benchmark_result", TOKEN_LENGTH)
    with open_instance(place.home) as instance, pytest.raises(ValueError, match="different text templates"):
        materialize_step(step, assets, build_resources(place.home), instance)
    assert version(place, "benchmark_result", TOKEN_LENGTH) == before


def test_templates_that_differ_are_named():
    assert template_result({"checkpoint a": "1", "benchmark_result a": "1"}).passed
    with pytest.raises(ValueError, match="benchmark_result a: 2; checkpoint a: 1"):
        template_result({"checkpoint a": "1", "benchmark_result a": "2"})


@pytest.fixture
def warehouse(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "home" / "warehouse")
    samples = "FROM (VALUES ('a', 'xxx'), ('b', 'x'), ('c', 'xx'), ('d', 'xxxxx')) AS rows(sample_id, answer)"
    messages = "[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': answer}] AS messages"
    warehouse.replace("pools.samples", {"pool": "p"}, f"SELECT sample_id, {messages} {samples}")
    return warehouse


@pytest.mark.parametrize(
    ("table", "rows", "wrong"),
    [
        ("answer_likelihood", "('a'), ('b'), ('c')", "1 samples of the pool do not have 1 rows each, and 0 samples"),
        ("answer_likelihood", "('a'), ('b'), ('c'), ('c'), ('d')", "1 samples of the pool do not have 1 rows each"),
        (
            "gradient_influence",
            "('a'), ('b'), ('c'), ('d'), ('z')",
            "0 samples of the pool .*, and 1 samples with rows",
        ),
    ],
)
def test_features_that_are_not_complete_leave_the_old_ones(warehouse, table, rows, wrong):
    partition = {**PARTITION, "reader": "base"} if table == "answer_likelihood" else PARTITION
    complete = Completeness(f"features.{table}", partition)

    def write(values):
        statement = f"SELECT * FROM (VALUES {values}) AS rows(sample_id)"
        return warehouse.replace(f"features.{table}", partition, statement, verify=complete.verify)

    assert write("('a'), ('b'), ('c'), ('d')") == 4
    assert complete.result().passed
    assert complete.truncation_result().metadata["share"].value == 0
    with pytest.raises(ValueError, match=wrong):
        write(rows)
    assert warehouse.query(f"SELECT count(*) FROM features.{table}").item() == 4


def test_a_sample_on_both_sides_is_refused(warehouse, tmp_path):
    shard = tmp_path / "home" / "shard.parquet"
    rows = "SELECT * FROM (VALUES ('a', 'pool'), ('b', 'pool'), ('a', 'held_out')) AS rows(sample_id, split)"
    warehouse.export(rows, shard)
    with pytest.raises(ValueError, match="pool 'p': 1 samples are both selectable and held out"):
        warehouse.replace("pools.held_out", {"pool": "p"}, rows, verify=separation_verifier("p", [shard]))
    assert warehouse.query("FROM pools.held_out").is_empty()


@pytest.mark.parametrize(
    ("tokens", "failed"),
    [
        ("('a', 3), ('b', 2), ('c', 4), ('d', 2)", set()),
        ("('a', 2), ('b', 2), ('c', 2), ('d', 2)", {"spread"}),
        ("('a', 3), ('b', 1), ('c', 2), ('d', 5)", {"length_correlation"}),
        ("('a', 3), ('b', NULL), ('c', 2), ('d', 1)", {"coverage"}),
    ],
)
def test_scores_that_are_worth_a_look_are_written_with_a_warning(warehouse, tokens, failed):
    statement = f"SELECT sample_id, n AS answer_tokens FROM (VALUES {tokens}) AS rows(sample_id, n)"
    warehouse.replace("features.token_count", PARTITION, statement)
    values = {**PARTITION, "published": False}
    method = METHODS["token_length"]
    results = replace_scores(warehouse, method, dict(PARTITION), "token_length", values).check_results or []
    assert {result.check_name for result in results} == SCORES
    assert {result.check_name for result in results if not result.passed} == failed
    assert all(result.severity == dg.AssetCheckSeverity.WARN for result in results if not result.passed)
    assert warehouse.query("SELECT count(*) FROM scores.token_length").item() == 4


@pytest.mark.parametrize(("highest", "spread"), [(0.5, False), (0.5 + 1e-15, False), (0.5 + 1e-7, True)])
def test_scores_that_differ_by_rounding_are_equal(highest, spread):
    summary = {"rows": 3, "scored": 3, "not_finite": 0, "lowest": 0.5, "highest": highest}
    passed = {result.check_name: result.passed for result in score_results(summary, None, 3, picks_alone=False)}
    assert passed["spread"] == spread


def test_bounds():
    assert truncation_result(2, 2, 10).passed
    assert not truncation_result(3, 0, 10).passed
    assert not truncation_result(0, 3, 10).passed
    assert truncation_result(3, 0, 10).severity == dg.AssetCheckSeverity.WARN
    assert not size_result(5, {"budgets": 6}).passed
    assert size_result(6, {"budgets": 6}).passed
    assert final_loss_result({"final_loss": 1.5}).passed
    assert final_loss_result({}).passed
    assert not final_loss_result({"final_loss": float("nan")}).passed
    assert trained_samples_result({"rows": 8, "dropped_rows": 0, "truncated_rows": 3}).passed
    assert not trained_samples_result({"rows": 8, "dropped_rows": 2, "truncated_rows": 0}).passed
    assert trained_samples_result({}).passed
