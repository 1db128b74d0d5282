"""Targets: from a profile with several sets to the scores of each, and what a home without them keeps."""

import json

import numpy as np
import pytest
import yaml

from selection_platform.cli.main import main
from tests.small_run import PROFILE, OwnPlace, conversations, due, output_of, refreshed

ENTROPY = {"random": {"train": False}, "entropy": {"train": False}}
NAMES = ("less", "less.round_robin", "rds_plus", "rds_plus.max", "rds_plus.whitened", "km_less")
TARGETED = {name: {"train": False} for name in NAMES}
WARM_UP = {
    "learning_rate": 0.001, "global_batch": 4, "batch_per_device": 4, "max_length": 128, "epochs": 1,
    "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
}  # fmt: skip


class Place(OwnPlace):
    """A folder with a profile of three targets' sets, its pool of 40 rows and a home."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder, monkeypatch)
        self.pool_rows = conversations(60, seed=0)
        write(folder / "letters.jsonl", self.pool_rows)
        self.change(targets=None, arms=ENTROPY)

    def change(self, targets, arms):
        less = {"warmup_samples": 8, "training": WARM_UP, "tokens_per_batch": 1024}
        profile = {**PROFILE, "less": less, "k_means": {"clusters": 2}, "arms": arms}
        profile["scoring"] = {**PROFILE["scoring"], "samples_per_shard": 11}
        self.profile.write_text(yaml.safe_dump(profile if targets is None else {**profile, "targets": targets}))


def write(path, rows):
    path.write_text("\n".join(json.dumps({"messages": row}) for row in rows))


@pytest.fixture
def own(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


@pytest.mark.slow
def test_each_set_has_scores_and_a_home_without_targets_keeps_its_own(own, capsys):
    output_of(capsys, own, "run")
    pool = own.rows(capsys, "SELECT sample_id, messages FROM pools.samples ORDER BY sample_id")
    # Two targets are in the pool too.
    examples = [*conversations(5, seed=9), *(row["messages"] for row in pool[:2])]
    write(own.profile.with_name("wanted.jsonl"), examples)
    own.change(
        {"default": {"pool_samples": 3}, "mine": {"examples": {"source": {"files": "wanted.jsonl"}}}},
        ENTROPY | TARGETED,
    )
    found = due(capsys, own)
    assert {name for name in found if "answer_likelihood" in name or name.startswith("scores/entropy")} == {
        "answer_likelihood, sample_embedding, weighted_embedding letters/tiny"
    }
    made = refreshed(capsys, own)
    # The pass ran again to keep what it had not kept, and nothing that was made of it before.
    assert {"weighted_embedding letters/tiny", "scores/rds_plus.mine letters/tiny"} <= made
    assert not [file for file in (own.home / "artifacts" / "picks").rglob("*") if file.is_file()]
    assert not {name for name in made if name.startswith(("scores/entropy", "scores/random"))}
    assert due(capsys, own) == {}
    assert output_of(capsys, own, "verify", "--deep").startswith("Read: ")
    counts = own.rows(
        capsys,
        "SELECT targets, count(*) AS n, count(*) FILTER (in_pool) AS both FROM pools.targets GROUP BY ALL ORDER BY ALL",
    )
    assert counts == [{"targets": "default", "n": 3, "both": 3}, {"targets": "mine", "n": 7, "both": 2}]
    _check_similarity(own, capsys)
    for method in (*NAMES, *(f"{name}.mine" for name in NAMES)):
        assert own.rows(capsys, f'SELECT count(score) >= 6 AS enough FROM scores."{method}"') == [{"enough": True}]
    assert "less.mine/letters/tiny/6/s0" in output_of(capsys, own, "experiments")
    costs = {arm["method"]: arm for arm in json.loads(output_of(capsys, own, "cost", "--json"))["arms"]}
    # Both read the same pass, of which each reads another column.
    assert costs["rds_plus"]["selecting_alone"]["forward_flops"] > costs["entropy"]["selecting_alone"]["forward_flops"]
    # A changed file makes due what reads it, and nothing of the other set.
    write(own.profile.with_name("wanted.jsonl"), examples[:-1])
    assert due(capsys, own).keys() == {"target_samples letters/mine"}
    assert main(["--profile", str(own.profile), "refresh"]) == 0
    assert own.rows(capsys, "SELECT count(*) AS n FROM pools.targets WHERE targets = 'mine'") == [{"n": 6}]


def _check_similarity(own, capsys):
    """Two targets that are in the pool are nearest to themselves; turns give each of seven targets its best."""
    rows = own.rows(
        capsys,
        "SELECT sample_id, similarity, nearest, place FROM features.target_similarity WHERE targets = 'mine'",
    )
    own_target = {row["sample_id"]: row for row in rows if row["nearest"] == row["sample_id"]}
    assert len(own_target) == 2
    assert all(row["similarity"] == pytest.approx(1, abs=1e-6) for row in own_target.values())
    assert sorted(row["place"] for row in rows if row["place"]) == [1, 2, 3, 4, 5, 6]
    best = own.rows(capsys, 'SELECT sample_id FROM scores."rds_plus.max.mine" ORDER BY score DESC, sample_id LIMIT 6')
    by_similarity = sorted(rows, key=lambda row: (-row["similarity"], row["sample_id"]))
    assert [row["sample_id"] for row in best] == [row["sample_id"] for row in by_similarity[:6]]
    assert np.isfinite([row["similarity"] for row in rows]).all()


@pytest.mark.slow
def test_a_target_on_which_the_loss_is_measured(own, capsys):
    own.change({"mine": {"examples": {"source": {"files": "wanted.jsonl"}}}}, {"rds_plus.mine": {"train": False}})
    write(own.profile.with_name("wanted.jsonl"), wanted := conversations(5, seed=9))
    output_of(capsys, own, "refresh", "pool", "target_samples")
    (held_out, *_) = own.rows(capsys, "FROM pools.held_out WHERE split = 'held_out' ORDER BY sample_id")
    write(own.profile.with_name("wanted.jsonl"), [*wanted, held_out["messages"]])
    assert main(["--profile", str(own.profile), "refresh", "target_samples"]) == 1
    prompt = held_out["messages"][0]["content"][:80]
    assert (
        f"targets.mine: held-out conversations of pool letters are among them (1), the first with {prompt!r}; "
        "leave them out, since the held-out loss may be measured on them"
    ) in " ".join(capsys.readouterr().err.split())
    assert own.rows(capsys, "SELECT count(*) AS n FROM pools.targets") == [{"n": 5}]
