"""Arms that are added to a finished home: what they score, and that what was there before stays."""

import json
import traceback

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from tests.sentence_encoders import save_encoder
from tests.small_run import PROFILE, OwnPlace, conversations, due, output_of, refreshed

SELECT = {"train": False}
BEFORE = {"random": SELECT, "entropy": SELECT, "rds_plus": SELECT, "stars": {"column": "stars", **SELECT}}
ONE_BY_ONE = ["coverage_entropy", "coverage_stars", "coverage_s_ifd", "facility_location"]
PICKED_BY_SENTENCES = ["embedding", "k_center"]
BY_SENTENCES = ["embedding.max", *PICKED_BY_SENTENCES]
ADDED = [*ONE_BY_ONE, "s_ifd", "grape"]
SHARED_PASS = {"answer_likelihood", "sample_embedding", "weighted_embedding", "prompt_effect"}


class Place(OwnPlace):
    """A folder with a profile, its pool of 140 rows and a home."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder, monkeypatch)
        rows = [{"messages": row, "stars": number % 5} for number, row in enumerate(conversations(200, seed=0))]
        (folder / "letters.jsonl").write_text("\n".join(map(json.dumps, rows)))
        self.change(BEFORE)

    def change(self, arms, **parts):
        small = {"budgets": [3], "k_means": {"clusters": 4}, "less": {"target_samples": 3}}
        small |= {"encoder": {"path": "encoder", "max_length": 20}}
        profile = {**PROFILE, **small, "coverage": {"similarity": 0.3}, "arms": arms, **parts}
        # So long that prompts help it.
        profile["models"] = {"tiny": {"pretraining": {**PROFILE["models"]["tiny"]["pretraining"], "steps": 150}}}
        self.profile.write_text(yaml.safe_dump(profile))


@pytest.fixture
def own(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


@pytest.fixture
def outside_jobs(monkeypatch):
    """Where the library asks for a GPU while no job runs: by line."""
    lines: set[str] = set()

    def is_available():
        frames = traceback.extract_stack()
        if not any(frame.filename.endswith("resources/job_launcher.py") for frame in frames):
            lines.add(f"{frames[-2].filename}:{frames[-2].lineno}")
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    return lines


@pytest.mark.slow
def test_added_arms_select_and_nothing_else_is_made_again(own, capsys, outside_jobs):
    output_of(capsys, own, "run")
    study = {
        "sizes": {"letters": [80]},
        "arms": ["coverage_entropy", "facility_location", "s_ifd", "grape", "k_center"],
    }
    save_encoder(own.profile.with_name("encoder"))
    own.change(BEFORE | dict.fromkeys([*ADDED, *BY_SENTENCES], SELECT), pool_size_study=study)
    made = refreshed(capsys, own)
    # The shared pass ran again to keep what it had not kept, and nothing that was made of it before.
    assert {name.partition(" ")[0] for name in made if not name.startswith("scores/")} == {
        *SHARED_PASS, "sentence_embedding", "target_sentence_embedding", "sample_cluster", "sub_pool", "selection",
        "selection_overlap", "selection_profile", "pool_size_curve", "cost_ledger", "report",
    }  # fmt: skip
    assert {name for name in made if name.startswith("scores/")} == {
        *(f"scores/{name} letters/tiny" for name in ADDED),
        *(f"scores/{name} letters@80/tiny" for name in study["arms"] if name in ADDED),
        *(f"scores/{name} letters" for name in BY_SENTENCES),
        "scores/k_center letters@80",
    }
    assert due(capsys, own) == {}
    # Only a job holds a GPU.
    assert outside_jobs == set()
    assert not [file for file in (own.home / "artifacts" / "picks").rglob("*") if file.is_file()]
    for method in (*ONE_BY_ONE, *PICKED_BY_SENTENCES):
        rows = own.rows(capsys, f"SELECT score, dropped FROM scores.\"{method}\" WHERE pool = 'letters'")
        assert sorted(row["score"] for row in rows if row["score"]) == [-3, -2, -1]
        assert {None, "not among the picks up to the largest budget"} <= {row["dropped"] for row in rows}
    assert output_of(capsys, own, "verify", "--deep").startswith("Read: ")
    _check_coverage(own, capsys)
    _check_facility_location(own, capsys)
    _check_s_ifd(own, capsys)
    _check_sentences(own, capsys)
    _check_growth(own, capsys)


def _check_coverage(own, capsys):
    """The first pick is the best of a cluster, and all of the first picks of clusters are."""
    rows = own.rows(
        capsys,
        "SELECT cluster, picks.score AS pick, entropy.score AS entropy FROM features.sample_cluster AS clusters "
        "JOIN scores.coverage_entropy AS picks USING (pool, model, sample_id) "
        "JOIN scores.entropy AS entropy USING (pool, model, sample_id)",
    )
    assert len(rows) > 100
    for cluster in {row["cluster"] for row in rows if row["pick"]}:
        of_cluster = sorted((row for row in rows if row["cluster"] == cluster), key=lambda row: -row["entropy"])
        picked = [row for row in of_cluster if row["pick"]]
        assert of_cluster[: len(picked)] == sorted(picked, key=lambda row: -row["pick"])


def _check_facility_location(own, capsys):
    """The first pick has the highest sum of cosines, of the whole pool and of a part of it."""
    rows = own.rows(capsys, "SELECT sample_id, embedding FROM features.sample_embedding ORDER BY sample_id")
    for pool, part in (("letters", rows), ("letters@80", rows[:80])):
        vectors = np.array([row["embedding"] for row in part])
        vectors -= vectors.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        best = np.maximum(vectors @ vectors.T, 0).sum(axis=0).argmax()
        scores = f"FROM scores.facility_location WHERE pool = '{pool}' AND score = -1"
        assert own.rows(capsys, f"SELECT sample_id {scores}") == [{"sample_id": part[best]["sample_id"]}]


def _check_s_ifd(own, capsys):
    """The threshold is that of the pool, or of the part of it, and a score wherever IFD is at most 1."""
    files = (own.home / "artifacts/scoring/letters/tiny/answer_likelihood/000").glob("apart.prompt_effect-*")
    effects = {row["sample_id"]: np.array(row["prompt_effect"]) for row in pl.read_parquet(list(files)).to_dicts()}
    for pool in ("letters", "letters@80"):
        rows = own.rows(
            capsys,
            "SELECT sample_id, score, answer_nll / direct_answer_nll <= 1 AS helped FROM features.answer_likelihood "
            f"JOIN scores.s_ifd AS scores USING (sample_id) WHERE reader = 'base' AND scores.pool = '{pool}'",
        )
        threshold = np.median(np.abs(np.concatenate([effects[row["sample_id"]] for row in rows])))
        helped = [row for row in rows if row["helped"]]
        assert {row["sample_id"] for row in helped} == {row["sample_id"] for row in rows if row["score"]}
        assert helped
        for row in helped:
            effect = effects[row["sample_id"]]
            assert row["score"] == pytest.approx(np.exp(effect[np.abs(effect) > threshold].mean()), rel=1e-6)


def _check_sentences(own, capsys):
    """Each of three targets takes its like; k-center begins in the middle and goes far from it. Some are alike.

    Every sample has the highest of its cosines with the targets.
    """
    file = own.home / "artifacts/scoring/letters/sentence_embedding/000/part-00000.parquet"
    table = pl.read_parquet(file).sort("sample_id")
    places = {name: place for place, name in enumerate(table["sample_id"])}
    vectors = table["embedding"].to_numpy().astype(np.float64)

    def of(sql):
        return vectors[[places[row["sample_id"]] for row in own.rows(capsys, f"SELECT sample_id FROM {sql}")]]

    targets = of("pools.targets ORDER BY sample_id")
    highest = own.rows(capsys, 'SELECT sample_id, score FROM scores."embedding.max" ORDER BY sample_id')
    assert [row["sample_id"] for row in highest] == list(places)
    cosines = [[sum(a * b for a, b in zip(row, target, strict=True)) for target in targets] for row in vectors]
    assert [row["score"] for row in highest] == pytest.approx([max(row) for row in cosines], abs=1e-6)
    picked = of("scores.embedding WHERE score IS NOT NULL ORDER BY score DESC")
    assert (targets * picked).sum(axis=1) == pytest.approx([1, 1, 1])
    for pool, rows in (("letters", len(vectors)), ("letters@80", 80)):
        first, second = of(f"scores.k_center WHERE pool = '{pool}' AND score >= -2 ORDER BY score DESC")
        part = vectors[:rows]
        to_mean = np.linalg.norm(part - part.mean(axis=0), axis=1)
        assert np.linalg.norm(first - part.mean(axis=0)) == pytest.approx(to_mean.min())
        assert np.linalg.norm(second - first) == pytest.approx(np.linalg.norm(part - first, axis=1).max())


def _check_growth(own, capsys):
    """Of a pool that grew, the encoder reads the new samples alone."""
    samples = {
        row["sample_id"] for row in own.rows(capsys, "SELECT sample_id FROM pools.samples WHERE pool = 'letters'")
    }
    with own.profile.with_name("letters.jsonl").open("a") as file:
        file.writelines("\n" + json.dumps({"messages": row, "stars": 1}) for row in conversations(9, seed=5))
    output_of(capsys, own, "refresh", "sentence_embedding")
    folder = own.home / "artifacts/scoring/letters/sentence_embedding"
    new = set(pl.read_parquet(folder / "001" / "part-00000.parquet")["sample_id"])
    assert new
    now = own.rows(capsys, "SELECT sample_id FROM pools.samples WHERE pool = 'letters'")
    assert new == {row["sample_id"] for row in now} - samples
