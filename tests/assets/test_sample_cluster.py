"""Clusters of the sentence encoder's vectors: what they are, and that no base model reads the pool for them."""

import json

import numpy as np
import polars as pl
import pytest
import yaml

from orchestration.estimate import Estimator
from orchestration.workspace import open_workspace
from selection_platform.configuration.profile import load_profile
from tests.sentence_encoders import save_encoder
from tests.small_run import PROFILE, OwnPlace, conversations, due, output_of, refreshed

SELECT = {"train": False}
ARMS = ["km_token_length", "coverage_token_length", "km_stars", "k_center"]
STUDY = {"sizes": {"letters": [80]}, "arms": ["km_stars"]}


class Place(OwnPlace):
    """A folder with a profile, its pool, an encoder and a home."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder, monkeypatch)
        rows = [{"messages": row, "stars": number} for number, row in enumerate(conversations(150, seed=0))]
        (folder / "letters.jsonl").write_text("\n".join(map(json.dumps, rows)))
        save_encoder(folder / "encoder")

    def change(self, **k_means):
        arms = {"stars": {"column": "stars", **SELECT}} | dict.fromkeys(ARMS, SELECT)
        parts = {"arms": arms, "pool_size_study": STUDY, "encoder": {"path": "encoder", "max_length": 20}}
        self.profile.write_text(yaml.safe_dump({**PROFILE, **parts, "k_means": {"clusters": 4, **k_means}}))


@pytest.fixture
def own(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


@pytest.mark.slow
def test_no_base_model_reads_the_pool_and_another_choice_makes_the_clusters_due(own, capsys):
    own.change(vectors="encoder")
    made = refreshed(capsys, own)
    clusters = {"sample_cluster letters/tiny", "sample_cluster letters@80/tiny"}
    assert clusters | {"sentence_embedding letters", "scores/coverage_token_length letters/tiny"} <= made
    assert not {name for name in made if name.startswith(("answer_likelihood", "sample_embedding"))}
    assert due(capsys, own) == {}
    _check_clusters(own, capsys)
    text = output_of(capsys, own, "diff", "stars/letters/tiny/6/s0", "km_token_length/letters/tiny/6/s0")
    assert "Tokens are those of tiny, clusters those of the sentence encoder. Nearest to the centre of" in text
    own.change(vectors="base_model")
    # A method that covers clusters reads the vectors too, for their centres.
    assert due(capsys, own).keys() == {
        "answer_likelihood, sample_embedding letters/tiny", *clusters, "scores/coverage_token_length letters/tiny",
    }  # fmt: skip
    # `k_center` still reads the vectors of the encoder.
    assert due(capsys, own)["scores/coverage_token_length letters/tiny"] == (
        "stale", ["sample_embedding letters/tiny is new", "sentence_embedding letters is read no longer"],
    )  # fmt: skip
    own.change(vectors="encoder")
    assert due(capsys, own) == {}
    # The estimate knows how long the vectors are.
    with open_workspace(load_profile()) as workspace:
        task = Estimator(workspace).tasks["sample_cluster", "letters@80/tiny"]
    assert task.working == 4 * 80 * _width(own)


def _width(own):
    return json.loads((own.profile.parent / "encoder" / "config.json").read_text())["hidden_size"]


def _check_clusters(own, capsys):
    """Every sample is nearest to the mean of its own cluster, of the whole pool and of a part of it."""
    table = pl.read_parquet(own.home / "artifacts/scoring/letters/sentence_embedding/000/part-00000.parquet")
    vectors = dict(zip(table["sample_id"], table["embedding"].to_numpy().astype(np.float64), strict=True))
    for pool, size in (("letters", len(vectors)), ("letters@80", 80)):
        rows = own.rows(capsys, f"FROM features.sample_cluster WHERE pool = '{pool}' ORDER BY sample_id")
        assert [row["sample_id"] for row in rows] == sorted(vectors)[:size]
        embedded = np.array([vectors[row["sample_id"]] for row in rows])
        labels = np.array([row["cluster"] for row in rows])
        means = np.array([embedded[labels == cluster].mean(axis=0) for cluster in range(4)])
        distances = np.linalg.norm(embedded[:, None] - means, axis=2)
        assert [row["distance"] for row in rows] == pytest.approx(distances[range(size), labels], abs=1e-5)
        assert distances[range(size), labels] == pytest.approx(distances.min(axis=1), abs=1e-5)
