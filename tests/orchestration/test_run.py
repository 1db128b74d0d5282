"""The whole chain on invented conversations and a model of a few thousand weights, through the command line."""

import json
import os
import random
from pathlib import Path

import polars as pl
import pytest
import yaml
from datasets import load_from_disk
from filelock import FileLock

from resources.warehouse import Warehouse
from selection_platform.cli.main import main
from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from selection_platform.experiments.methods import METHODS
from selection_platform.training.pretraining import END
from sql.queries import load_sql
from tests.small_run import REPORTS

pytestmark = [pytest.mark.data, pytest.mark.slow]

THINGS = ["red fox", "old bridge", "quiet river", "paper boat", "small town", "green apple", "long road", "blue door"]
EXPERIMENTS = [
    "base/tiny",
    "all_data/letters/tiny/all/s0",
    "random/letters/tiny/6/s0",
    "random/letters/tiny/6/s1",
    "token_length/letters/tiny/6/s0",
    "entropy/letters/tiny/6/s0",
    "ifd/letters/tiny/6/s0",
    "zip/letters/tiny/6/s0",
]
SELECTED_ONLY = (
    "less", "selectit", "diverse_evol", "km_token_length", "km_ifd", "token_length.published", "entropy.published",
    "ifd.pre_experience", "ifd.published", "less.published", "selectit.published", "diverse_evol.published",
    "zip.published",
)  # fmt: skip


SAME = ("zip", "token_length")

TINY = {
    "vocab_size": 320, "hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2, "context": 256,
    "block_length": 64,
}  # fmt: skip


def conversation(generator):
    things = generator.sample(THINGS, generator.randint(2, 6))
    # The text of a special token stands in some answers, and stays text.
    end = END if things[0] == THINGS[0] else ""
    text = " ".join(f"There was a {thing}." for thing in things)
    return [
        {"role": "user", "content": f"Write about a {things[0]} and number {generator.randint(0, 999)}."},
        {"role": "assistant", "content": f"Here is a text. {end}{text}"},
    ]


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("platform")
    generator = random.Random(0)
    rows = [{"messages": conversation(generator)} for _ in range(240)]
    (folder / "letters.jsonl").write_text("\n".join(json.dumps(row) for row in [*rows, rows[0]]))
    file = folder / "small.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "description": "A test.",
                "disclaimer": "Invented data.",
                "dtype": "float32",
                "pools": {
                    "letters": {"source": {"files": "letters.jsonl"}, "limit": 60, "held_out": 0.1, "base_model": 0.3}
                },
                "models": {
                    "tiny": {"pretraining": {"steps": 40, **TINY}},
                    "helper": {"pretraining": {"steps": 5, **TINY, "layers": 2}, "fine_tune": False},
                },
                # The rating prompts need room, as this vocabulary is hardly more than the bytes.
                "scoring": {"max_length": 256, "tokens_per_batch": 1024, "samples_per_shard": 10},
                "k_means": {"clusters": 3},
                "less": {
                    "warmup_samples": 8,
                    "targets": ["gsm8k"],
                    "training": {
                        "epochs": 4, "global_batch": 4, "batch_per_device": 4, "max_length": 128,
                        "lora": {"rank": 2, "alpha": 4},
                    },
                },
                "pre_experience": {"clusters": 3, "samples_per_cluster": 2},
                "selectit": {"helpers": {"tiny": ["helper"]}},
                "zip": {"k1": 20, "k2": 4, "k3": 2},
                "fine_tuning": {"epochs": 1, "global_batch": 4, "batch_per_device": 4, "max_length": 128},
                "evaluation": {"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}},
                "budgets": [6],
                "arms": {
                    "base": {}, "all_data": {}, "random": {"seeds": [0, 1]}, "token_length": {},
                    "entropy": {}, "ifd": {}, "zip": {},
                    **{name: {"train": False} for name in SELECTED_ONLY},
                },
            },
            sort_keys=False,
        )
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(folder / "home"))
        # The command line sets it for the processes it starts; here it must not outlive the test.
        patch.setenv(PROFILE_VARIABLE, str(file))
        assert main(["--profile", str(file), "run"]) == 0
        yield str(file)


def output_of(capsys, *arguments):
    assert main(arguments) == 0
    return capsys.readouterr().out


def query(capsys, profile, statement):
    return json.loads(output_of(capsys, "--profile", profile, "sql", "--json", statement))


def test_a_second_run_finds_nothing_to_do_and_prints_the_leaderboard(profile, capsys):
    output = output_of(capsys, "--profile", profile, "run")
    assert "[1/" not in output
    lines = output.splitlines()
    assert sum(line.split() == ["arm", "tiny", "·", "letters"] for line in lines) == 3
    answers = ("Yes, in ", "Not shown: ", "No: ", "Not known")
    assert lines.index(next(line for line in lines if line.startswith(answers))) < lines.index("Invented data.")
    for arm in ("base", "all_data", "random s0", "random s1", "token_length", "entropy", "ifd", "zip"):
        # Average, held-out loss, mmlu.
        assert sum(line.startswith(f"{arm} ") for line in lines) == 3
    assert "**" not in output
    assert "Invented data." in output


def test_status_lists_nothing_due(profile, capsys):
    status = json.loads(output_of(capsys, "--profile", profile, "status", "--json"))
    assert status["due"] == []
    # pools, models, features, scores (km_ifd and km_token_length among them), selections, checkpoints, results, reports
    reports = {*REPORTS, "proxy_card"}
    assert status["partitions"] == 4 + 2 + 13 + 18 + len(SELECTED_ONLY) + 3 * len(EXPERIMENTS) + len(reports)


def test_every_selection_is_the_budget_in_rank_order_out_of_the_pool(profile, capsys):
    rows = query(
        capsys,
        profile,
        """
        SELECT experiment, count(*) AS samples, count(DISTINCT sample_id) AS distinct_ids, max(position) AS last
        FROM selections.samples SEMI JOIN pools.samples USING (sample_id) GROUP BY experiment
        """,
    )
    counts = {row["experiment"]: (row["samples"], row["distinct_ids"], row["last"]) for row in rows}
    keys = [*EXPERIMENTS[1:], *(f"{method}/letters/tiny/6/s0" for method in SELECTED_ONLY)]
    assert counts == {key: (60, 60, 60) if "all_data" in key else (6, 6, 6) for key in keys}


def test_ifd_takes_the_highest_scores(profile, capsys):
    selected = query(
        capsys,
        profile,
        "SELECT sample_id FROM selections.samples WHERE experiment = 'ifd/letters/tiny/6/s0' ORDER BY position",
    )
    scores = query(capsys, profile, "SELECT sample_id, score FROM scores.ifd WHERE score IS NOT NULL")
    best = sorted(scores, key=lambda row: (-row["score"], row["sample_id"]))[:6]
    assert [row["sample_id"] for row in selected] == [row["sample_id"] for row in best]


def test_rows_of_the_source_are_kept_or_counted(profile, capsys):
    (kept,) = query(
        capsys, profile, "SELECT (SELECT count(*) FROM pools.samples) + (SELECT count(*) FROM pools.held_out) AS rows"
    )
    dropped = query(capsys, profile, "SELECT reason, samples FROM pools.dropped")
    assert kept["rows"] + sum(row["samples"] for row in dropped) == 241
    assert {"reason": "duplicate of an earlier row", "samples": 1} in dropped


def test_every_experiment_has_results_and_items(profile, capsys):
    rows = query(
        capsys,
        profile,
        "SELECT experiment, benchmark, items FROM benchmarks.results ORDER BY ALL",
    )
    held_out = query(capsys, profile, "SELECT count(*) AS rows FROM pools.held_out WHERE split = 'held_out'")[0]["rows"]
    assert rows == [
        {"experiment": key, "benchmark": benchmark, "items": items}
        for key in sorted(EXPERIMENTS)
        for benchmark, items in (("held_out_loss/letters", held_out), ("mmlu", 2))
    ]
    assert query(capsys, profile, "SELECT count(*) AS n FROM benchmarks.items")[0]["n"] == 8 * (held_out + 2)


def test_training_changes_the_model(profile, capsys):
    losses = query(
        capsys, profile, "SELECT experiment, \"value\" FROM benchmarks.results WHERE starts_with(benchmark, 'held')"
    )
    assert len({row["value"] for row in losses}) == len(EXPERIMENTS)


def test_export_writes_the_selection(profile, capsys, tmp_path):
    output = output_of(capsys, "--profile", profile, "export", "zip/letters/tiny/6/s0", "--to", str(tmp_path))
    assert [line.rsplit("/", 1)[1] for line in output.split()] == [
        "train.jsonl",
        "train.parquet",
        "dataset",
        "README.md",
    ]
    table = pl.read_parquet(tmp_path / "train.parquet")
    assert table["position"].to_list() == [1, 2, 3, 4, 5, 6]
    assert load_from_disk(str(tmp_path / "dataset")).num_rows == 6


def test_two_runs_at_once_are_refused(profile, capsys):
    with FileLock(Path(os.environ[HOME_VARIABLE]) / "small" / "run.lock"):
        assert main(["--profile", profile, "run"]) == 1
    assert "another run is in progress" in capsys.readouterr().err


def test_methods_lists_every_arm(profile, capsys):
    output = output_of(capsys, "--profile", profile, "methods")
    assert [line.split()[0] for line in output.splitlines()] == list(METHODS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # On a pool this small, ZIP picks the same either way. No text becomes this vocabulary's token 0, which the
        # published length leaves out.
        *((f"{name}.published", name) for name in METHODS if f"{name}.published" in METHODS and name not in SAME),
        ("ifd.pre_experience", "ifd"),
        ("ifd.published", "ifd.pre_experience"),
    ],
)
def test_a_twin_scores_otherwise_than_its_method(profile, capsys, one, other):
    (row,) = query(
        capsys,
        profile,
        f"""
        SELECT count(*) AS differing FROM scores."{one}" AS one JOIN scores."{other}" AS other USING (sample_id)
        WHERE one.score IS DISTINCT FROM other.score
        """,
    )
    assert row["differing"] > 0


def test_published_zip_computes_in_float32(profile):
    picks = Path(os.environ[HOME_VARIABLE]) / "small" / "artifacts" / "picks"
    ratios = {
        name: pl.read_parquet(picks / name / "letters" / "picks.parquet")["ratio"] for name in ("zip", "zip.published")
    }
    single = {name: ratio.cast(pl.Float32).cast(pl.Float64) for name, ratio in ratios.items()}
    assert (ratios["zip.published"] == single["zip.published"]).all()
    assert not (ratios["zip"] == single["zip"]).all()


def test_raters_are_weighted_by_their_parameters(profile, capsys):
    home = Path(os.environ[HOME_VARIABLE]) / "small"
    raters = ["tiny", "helper"]
    manifests = [
        json.loads((home / "artifacts" / "base_model" / rater / "manifest.json").read_text()) for rater in raters
    ]
    weights = [float(manifest["parameters"]) for manifest in manifests]
    assert weights[0] < weights[1]
    values = {
        "pool": "letters", "raters": raters, "weights": weights, "alpha": 0.2, "level": "model", "softmax_twice": False,
    }  # fmt: skip
    expected = Warehouse(folder=str(home / "warehouse")).query(load_sql("40_scores/selectit"), values)
    scores = query(capsys, profile, "SELECT sample_id, score FROM scores.selectit")
    assert {row["sample_id"]: row["score"] for row in scores} == dict(expected.select("sample_id", "score").iter_rows())


def test_a_method_and_its_twin_are_compared(profile, capsys):
    keys = [f"{method}/letters/tiny/6/s0" for method in ("entropy", "entropy.published")]
    facts = json.loads(output_of(capsys, "--profile", profile, "diff", *keys, "--json"))
    (expected,) = query(
        capsys,
        profile,
        f"""
        SELECT count(*) AS shared FROM selections.samples AS a JOIN selections.samples AS b USING (sample_id)
        WHERE a.experiment = '{keys[0]}' AND b.experiment = '{keys[1]}'
        """,
    )
    assert facts["experiments"] == keys
    assert facts["sizes"] == [6, 6]
    assert facts["shared"] == expected["shared"]
    assert facts["shared_by_chance"] == pytest.approx(6 * 6 / 60)
    assert facts["both_scored"] == 60
    assert -1 <= facts["rank_correlation"] < 1
    text = output_of(capsys, "--profile", profile, "diff", *keys)
    assert f"They share {expected['shared']} (" in text
    assert "over 60 samples" in text


def test_the_best_of_each_cluster_are_picked_by_share(profile, capsys):
    rows = query(
        capsys,
        profile,
        """
        SELECT cluster, count(*) AS samples, count(selected.position) AS selected
        FROM features.sample_cluster
        LEFT JOIN (FROM selections.samples WHERE experiment = 'km_token_length/letters/tiny/6/s0') AS selected
            USING (sample_id)
        GROUP BY cluster
        """,
    )
    assert sum(row["selected"] for row in rows) == 6
    assert all(abs(row["selected"] - row["samples"] * 6 / 60) < 1 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sql", "SELEC 1"], 'syntax error at or near "SELEC"'),
        (["sql", "DELETE FROM scores.ifd"], "one statement that only reads is needed"),
        (["export", "ifd/lettres", "--to", "x"], "no experiment 'ifd/lettres'"),
        (["export", "base/tiny", "--to", "x"], "no experiment 'base/tiny' that selects samples"),
        (["diff", "ifd/letters/tiny/6/s0", "iffd"], "no experiment 'iffd'"),
    ],
)
def test_wrong_requests_end_with_one_message(profile, capsys, arguments, message):
    assert main(["--profile", profile, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err
