"""The reports' statements on tables that can be counted by hand."""

import pytest

from sql.queries import load_sql

CHOSEN = {"random": [0, 1, 2, 3], "ifd": [2, 3, 4, 5], "zip": [6, 7, 8, 9]}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory, new_warehouse):
    """Ten samples, the first five of a book; each sample has its number's length, and clusters are even and odd."""
    warehouse = new_warehouse(tmp_path_factory.mktemp("home") / "warehouse")
    pool = """
        SELECT sample::VARCHAR AS sample_id, CASE WHEN sample < 5 THEN 'book' END AS source, 1 + sample // 8 AS turns,
            sample + 1 AS characters
        FROM range(10) AS samples (sample)
    """
    warehouse.replace("pools.samples", {"pool": "p"}, pool)
    clusters = "SELECT sample::VARCHAR AS sample_id, sample % 2 AS cluster FROM range(10) AS samples (sample)"
    warehouse.replace("features.sample_cluster", {"pool": "p", "model": "m"}, clusters)
    for method, samples in CHOSEN.items():
        of_method = {"samples": [str(sample) for sample in samples]}
        warehouse.replace(
            "selections.samples", {"experiment": method}, "SELECT unnest($samples) AS sample_id", of_method
        )
        key = "SELECT $method AS method, 'p' AS pool, 'm' AS model, 4 AS budget, 0 AS seed"
        warehouse.replace("experiments.keys", {"experiment": method}, key, {"method": method})
    return warehouse


def test_every_pair_of_selections_stands_once(warehouse):
    rows = warehouse.query(load_sql("90_reports/selection_overlap"), {"experiments": list(CHOSEN)})
    assert rows.select("one", "other", "shared", "by_chance").rows() == [
        ("random", "ifd", 2, 1.6),
        ("random", "zip", 0, 1.6),
        ("ifd", "zip", 0, 1.6),
    ]


def profile(warehouse, clustered=True):
    values = {"experiments": ["ifd"], "clustered": clustered}
    rows = warehouse.query(load_sql("90_reports/selection_profile"), values)
    return {
        trait: of_trait.select("value", "selected", "there", "share", "pool_share").rows()
        for (trait,), of_trait in rows.group_by("trait", maintain_order=True)
    }


def test_a_selection_beside_its_pool(warehouse):
    assert profile(warehouse) == {
        "cluster": [("0", 2, 5, 0.5, 0.5), ("1", 2, 5, 0.5, 0.5)],
        "length": [
            ("1 to 2", 0, 2, 0.0, 0.2),
            ("3 to 4", 2, 2, 0.5, 0.2),
            ("5 to 6", 2, 2, 0.5, 0.2),
            ("7 to 8", 0, 2, 0.0, 0.2),
            ("9 to 10", 0, 2, 0.0, 0.2),
        ],
        "source": [("book", 3, 5, 0.75, 0.5), ("not stated", 1, 5, 0.25, 0.5)],
        "turns": [("1", 4, 8, 1.0, 0.8), ("2", 0, 2, 0.0, 0.2)],
    }


def test_without_clusters_there_is_no_such_trait(warehouse):
    assert set(profile(warehouse, clustered=False)) == {"length", "source", "turns"}


@pytest.mark.slow
def test_the_ablation_is_of_means_and_a_lower_loss_is_a_gain(warehouse):
    values = {"ifd": [(0, 10.0, 2.0), (1, 12.0, 2.5)], "km_ifd": [(0, 15.0, 3.0)], "zip": [(0, 1.0, 1.0)]}
    rows = []
    for method, runs in values.items():
        for seed, average, loss in runs:
            key = f"{method} s{seed}"
            named = "SELECT $method AS method, 'p' AS pool, 'm' AS model, 4 AS budget, $seed AS seed"
            warehouse.replace("experiments.keys", {"experiment": key}, named, {"method": method, "seed": seed})
            rows += [("average", key, average), ("held_out_loss", key, loss)]
    warehouse.replace(
        "reports.leaderboard",
        {},
        """
        SELECT unnest($measures) AS measure, unnest($keys) AS experiment, unnest($values::DOUBLE[]) AS "value",
            'm' AS model, 'p' AS pool
        """,
        dict(zip(("measures", "keys", "values"), map(list, zip(*rows, strict=True)), strict=True)),
    )
    pairs = {"methods": ["ifd", "zip"], "wrappers": ["km_ifd", "km_zip"]}
    found = warehouse.query(load_sql("90_reports/diversity_ablation"), pairs)
    assert found.select("measure", "method", "runs", "clustered_runs", "value", "clustered_value", "gain").rows() == [
        ("average", "ifd", 2, 1, 11.0, 15.0, 4.0),
        ("held_out_loss", "ifd", 2, 1, 2.25, 3.0, -0.75),
    ]


@pytest.mark.slow
def test_first_picks_have_their_text_only_where_a_licence_is_stated(tmp_path, new_warehouse):
    warehouse = new_warehouse(tmp_path / "warehouse")
    pool = """
        SELECT unnest(['a', 'b', 'c', 'd']) AS sample_id, unnest(['CC0', NULL, ' ', 'MIT']) AS licence,
            [{'role': 'user', 'content': 'secret'}] AS messages
    """
    warehouse.replace("pools.samples", {"pool": "p"}, pool)
    # Another pool that has the same sample, and states no licence for it.
    warehouse.replace("pools.samples", {"pool": "q"}, f"SELECT * REPLACE (NULL AS licence) FROM ({pool})")
    picked = "SELECT unnest(['d', 'c', 'b', 'a']) AS sample_id, unnest([4, 3, 2, 1]) AS position"
    for name in ("one", "other"):
        warehouse.replace("selections.samples", {"experiment": name}, picked)
    for name, of_pool in (("one", "p"), ("other", "q")):
        key = "SELECT 'zip' AS method, $pool AS pool, 4 AS budget, 0 AS seed"
        warehouse.replace("experiments.keys", {"experiment": name}, key, {"pool": of_pool})
    rows = warehouse.query(load_sql("90_reports/picks"), {"experiments": ["other", "one"], "most": 3})
    assert [
        (*row[:3], row[3] is not None) for row in rows.select("experiment", "sample_id", "licence", "messages").rows()
    ] == [
        ("other", "a", None, False),
        ("other", "b", None, False),
        ("other", "c", None, False),
        ("one", "a", "CC0", True),
        ("one", "b", None, False),
        ("one", "c", None, False),
    ]
