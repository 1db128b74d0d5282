"""The samples that hold benchmark items, from the pool to the page."""

import json

import dagster as dg
import pytest
import yaml

from assets import build_assets
from resources import build_resources
from selection_platform.configuration.profile import load_profile
from selection_platform.evaluation.benchmark_data import item_texts, prepare
from selection_platform.evaluation.items import item_hash
from sql.queries import load_sql

pytestmark = pytest.mark.slow

PROFILE = {
    "pools": {"mine": {"source": {"files": "rows.jsonl"}, "decontaminate": False}},
    "budgets": [1],
    "arms": {"random": {}},
    "models": {"tiny": {"pretraining": {"steps": 1, "context": 4096}}},
    "evaluation": {"benchmarks": {"math": {"task": "offline_gsm8k"}}},
}


def built(folder, **changes):
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump(PROFILE | changes))
    return load_profile(str(file))


def test_an_item_that_a_pool_holds_is_found_under_the_id_that_evaluations_give_it(tmp_path):
    prepare(tmp_path / "items")
    item = next(item for item in item_texts(tmp_path / "items") if item.benchmark == "gsm8k")
    texts = ["Hello.", f"Please solve this: {item.text}", "Bye."]
    rows = [[{"role": "user", "content": text}, {"role": "assistant", "content": "Fine."}] for text in texts]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in rows))
    profile = built(tmp_path)
    resources = build_resources(tmp_path / "home" / profile.name, profile.jobs)
    for key in (["benchmark_data"], ["raw_pool"], ["pool"], ["contamination"]):
        partition = None if key == ["benchmark_data"] else "mine"
        dg.materialize(build_assets(profile), selection=key, partition_key=partition, resources=resources._asdict())
    found = resources.warehouse.query(
        "SELECT messages[1].content AS question, benchmark, item_id, shares_words "
        "FROM pools.contamination JOIN pools.samples USING (pool, sample_id)"
    )
    first = json.loads((resources.artifacts.benchmark_data() / "gsm8k.jsonl").read_text().split("\n")[0])
    assert found.rows() == [(texts[1], "gsm8k", item_hash(first), True)]


def test_ids_of_evaluated_items_are_those_that_samples_are_compared_with(place):
    profile = load_profile(str(place.profile))
    resources = build_resources(place.home, profile.jobs)
    known = {item.item_id for item in item_texts(resources.artifacts.benchmark_data())}
    evaluated = resources.warehouse.query("SELECT DISTINCT item_id FROM benchmarks.items WHERE benchmark = 'mmlu'")
    assert len(evaluated) == 1
    assert set(evaluated["item_id"]) <= known


def test_the_page_names_the_items_that_an_arm_was_trained_on(place):
    """As if the sample that each run picks first held the item that was evaluated."""
    profile = load_profile(str(place.profile))
    warehouse = build_resources(place.home, profile.jobs).warehouse
    assert warehouse.query(load_sql("90_reports/contamination"))["samples"].to_list() == [0.0] * 4
    with warehouse.write() as connection:
        connection.execute(
            "INSERT INTO pools.contamination SELECT DISTINCT 'letters', sample_id, 'mmlu', item_id, true, 1.0 "
            "FROM selections.samples, (SELECT DISTINCT item_id FROM benchmarks.items WHERE benchmark = 'mmlu') "
            "WHERE \"position\" = 1 AND starts_with(experiment, 'token_length/')"
        )
    rows = warehouse.query(load_sql("90_reports/contamination"))
    assert rows.filter(method="token_length").select("samples", "items").row(0)[0] == 1.0
    assert len(rows.filter(method="token_length")["items"][0]) == 1
    assert rows.filter(method="base").select("samples", "items").row(0) == (0.0, [])


def test_nothing_is_compared_where_nothing_is_evaluated(tmp_path):
    def keys(**changes):
        return {key.to_user_string() for asset in build_assets(built(tmp_path, **changes)) for key in asset.keys}

    assert "contamination" in keys()
    assert "contamination" not in keys(evaluation={"benchmarks": {}})
    assert "contamination" not in keys(arms={"random": {"train": False}})
