"""Arms that are added to a finished home: what they score, and that what was there before stays."""

import json

import numpy as np
import pytest
import yaml

from selection_platform.configuration.profile import HOME_VARIABLE, PROFILE_VARIABLE
from tests.small_run import PROFILE, conversations, due, output_of, refreshed

SELECT = {"train": False}
BEFORE = {"random": SELECT, "entropy": SELECT, "stars": {"column": "stars", **SELECT}}
ADDED = ["coverage_entropy", "coverage_stars", "facility_location"]


class Place:
    """A folder with a profile, its pool of 40 rows and a home."""

    def __init__(self, folder):
        self.profile, self.home = folder / "small.yaml", folder / "home" / "small"
        rows = [{"messages": row, "stars": number % 5} for number, row in enumerate(conversations(60, seed=0))]
        (folder / "letters.jsonl").write_text("\n".join(map(json.dumps, rows)))
        self.change(BEFORE)

    def change(self, arms, **parts):
        profile = {**PROFILE, "k_means": {"clusters": 4}, "coverage": {"similarity": 0.3}, "arms": arms, **parts}
        self.profile.write_text(yaml.safe_dump(profile))

    def rows(self, capsys, sql):
        return json.loads(output_of(capsys, self, "sql", sql, "--json"))


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv(PROFILE_VARIABLE, str(tmp_path / "small.yaml"))
    return Place(tmp_path)


@pytest.mark.slow
def test_added_arms_select_and_nothing_else_is_made_again(own, capsys):
    output_of(capsys, own, "run")
    study = {"sizes": {"letters": [20]}, "arms": ["coverage_entropy", "facility_location"]}
    own.change(BEFORE | dict.fromkeys(ADDED, SELECT), pool_size_study=study)
    made = refreshed(capsys, own)
    assert {name for name in made if name.startswith(("scores/", "answer_likelihood", "pool "))} == {
        "scores/coverage_entropy letters/tiny",
        "scores/coverage_entropy letters@20/tiny",
        "scores/coverage_stars letters/tiny",
        "scores/facility_location letters/tiny",
        "scores/facility_location letters@20/tiny",
    }
    assert due(capsys, own) == {}
    assert not [file for file in (own.home / "artifacts" / "picks").rglob("*") if file.is_file()]
    for method in ADDED:
        rows = own.rows(capsys, f"SELECT score, dropped FROM scores.\"{method}\" WHERE pool = 'letters'")
        assert sorted(row["score"] for row in rows if row["score"]) == [-6, -5, -4, -3, -2, -1]
        assert {row["dropped"] for row in rows} == {None, "not among the picks up to the largest budget"}
    _check_coverage(own, capsys)
    _check_facility_location(own, capsys)


def _check_coverage(own, capsys):
    """The first pick is the best of a cluster, and all of the first picks of clusters are."""
    rows = own.rows(
        capsys,
        "SELECT cluster, picks.score AS pick, entropy.score AS entropy FROM features.sample_cluster AS clusters "
        "JOIN scores.coverage_entropy AS picks USING (pool, model, sample_id) "
        "JOIN scores.entropy AS entropy USING (pool, model, sample_id)",
    )
    assert len(rows) > 30
    for cluster in {row["cluster"] for row in rows if row["pick"]}:
        of_cluster = sorted((row for row in rows if row["cluster"] == cluster), key=lambda row: -row["entropy"])
        picked = [row for row in of_cluster if row["pick"]]
        assert of_cluster[: len(picked)] == sorted(picked, key=lambda row: -row["pick"])


def _check_facility_location(own, capsys):
    """The first pick has the highest sum of cosines, of the whole pool and of a part of it."""
    rows = own.rows(capsys, "SELECT sample_id, embedding FROM features.sample_embedding ORDER BY sample_id")
    for pool, part in (("letters", rows), ("letters@20", rows[:20])):
        vectors = np.array([row["embedding"] for row in part])
        vectors -= vectors.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        best = np.maximum(vectors @ vectors.T, 0).sum(axis=0).argmax()
        scores = f"FROM scores.facility_location WHERE pool = '{pool}' AND score = -1"
        assert own.rows(capsys, f"SELECT sample_id {scores}") == [{"sample_id": part[best]["sample_id"]}]
