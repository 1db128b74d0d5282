"""A pool that grows and shrinks: only new samples are run, and the rest of the job's promises stay."""

import copy
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection_platform.features import answer_likelihood
from selection_platform.features.answer_likelihood import LikelihoodSpec, LikelihoodSummary, job_settings, score
from selection_platform.job import scoring_job
from selection_platform.job.folder import previous_folder, read_manifest
from selection_platform.job.growing import finished_apart, finished_shards, score_new_samples
from selection_platform.job.integrity import ChangedFile
from selection_platform.job.versions import VERSIONS
from selection_platform.methods.selectit import rating_probability
from selection_platform.methods.selectit.rating_probability import RatingSpec, RatingSummary, rate
from sql.queries import load_sql
from tests.specs import changed, made, shared_pass
from tests.tiny import CONFIGS, random_samples, save_model, write_samples


@pytest.fixture
def spec(tmp_path: Path) -> LikelihoodSpec:
    save_model(tmp_path / "model", CONFIGS["llama"])
    return shared_pass(tmp_path)


@pytest.fixture
def forwards(monkeypatch) -> list[int]:
    """Rows of each forward pass."""
    rows: list[int] = []
    forward = answer_likelihood.forward

    def counted(model, batch, *arguments, **others):
        rows.append(len(batch))
        return forward(model, batch, *arguments, **others)

    monkeypatch.setattr(answer_likelihood, "forward", counted)
    return rows


def samples(count, start=0):
    return dict(list(random_samples(count).items())[start:])


def grow(spec: LikelihoodSpec, pool, folder: Path, **changes):
    write_samples(Path(spec.samples_file), pool)
    other = changed(spec, **changes)
    return score_new_samples(other, folder, score, LikelihoodSummary, job_settings(other))


def scores(files) -> dict[str, tuple[float, float]]:
    table = pa.concat_tables([pq.read_table(file) for file in files])
    return {
        name: (answer, direct)
        for name, answer, direct in zip(
            *(table[column].to_pylist() for column in ("sample_id", "answer_nll", "direct_answer_nll")), strict=True
        )
    }


@pytest.mark.slow
def test_only_new_samples_are_run(spec, tmp_path, forwards):
    grow(spec, samples(19, start=15), tmp_path / "four")
    rows_of_four = sum(forwards)
    first = grow(spec, samples(15), tmp_path / "out")
    assert (first.new_samples, sum(forwards) > 3 * rows_of_four) == (15, True)
    before = [file.read_bytes() for file in first.files]
    forwards.clear()
    second = grow(spec, samples(19, start=2), tmp_path / "out")
    assert (second.new_samples, sum(forwards)) == (4, rows_of_four)
    assert [file.read_bytes() for file in second.files[: len(before)]] == before
    assert second.content_hash != first.content_hash
    assert second.summary.samples == 19
    assert second.files == finished_shards(tmp_path / "out")
    whole = grow(spec, samples(19), tmp_path / "at once")
    found, expected = scores(second.files), scores(whole.files)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == (pytest.approx(values) if None not in values else values)


def test_the_same_or_a_smaller_pool_is_not_run_again(spec, tmp_path, forwards):
    first = grow(spec, samples(15), tmp_path / "out")
    forwards.clear()
    assert grow(spec, samples(15), tmp_path / "out").content_hash == first.content_hash
    smaller = grow(spec, samples(9), tmp_path / "out")
    assert forwards == []
    assert smaller.new_samples == 0
    assert smaller.content_hash != first.content_hash


def test_other_settings_begin_again(spec, tmp_path, forwards):
    grow(spec, samples(15), tmp_path / "out")
    forwards.clear()
    assert grow(spec, samples(16), tmp_path / "out", max_length=50).new_samples == 16
    assert sum(forwards) > 16


@pytest.mark.slow
def test_other_settings_take_the_place_of_the_scores_only_when_they_are_done(spec, tmp_path, forwards, monkeypatch):
    first = grow(spec, samples(15), tmp_path / "out")

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring_job, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            grow(spec, samples(15), tmp_path / "out", max_length=50)
    forwards.clear()
    assert grow(spec, samples(15), tmp_path / "out").content_hash == first.content_hash
    assert forwards == []
    grow(spec, samples(15), tmp_path / "out", max_length=50)
    assert not previous_folder(tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_job_on_new_samples_goes_on(spec, tmp_path, forwards, monkeypatch):
    grow(spec, samples(15), tmp_path / "out")
    whole = grow(spec, samples(24), tmp_path / "out")
    expected = [file.read_bytes() for file in whole.files]
    grow(spec, samples(15), tmp_path / "killed")
    forwards.clear()

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scoring_job, "write_manifest", killed)
        with pytest.raises(KeyboardInterrupt):
            grow(spec, samples(24), tmp_path / "killed")
    assert sum(forwards) > 0
    forwards.clear()
    resumed = grow(spec, samples(24), tmp_path / "killed")
    assert forwards == []
    assert [file.read_bytes() for file in resumed.files] == expected


def test_columns_apart_grow_too(spec, tmp_path):
    for count in (15, 24):
        grow(spec, samples(count), tmp_path / "out", weighted_embedding=True)
    files = finished_apart(tmp_path / "out")
    assert [file.parent.name for file in files] == ["000", "000", "000", "001", "001"]
    names = [name for file in files for name in pq.read_table(file)["sample_id"].to_pylist()]
    assert sorted(names) == sorted(samples(24))
    files[-1].write_bytes(files[-1].read_bytes() + b"x")
    with pytest.raises(ChangedFile, match=files[-1].name):
        finished_apart(tmp_path / "out")


@pytest.mark.parametrize("column", answer_likelihood.FILES_APART)
def test_a_raised_version_of_a_column_apart_begins_again_where_it_is_kept(column, spec, tmp_path, monkeypatch):
    kept = changed(spec, **{column: True})
    before = job_settings(kept), job_settings(spec)
    assert "code_versions_apart" not in before[0]
    grow(kept, samples(3), tmp_path / "out")
    monkeypatch.setitem(VERSIONS, column, 2)
    assert job_settings(spec) == before[1]
    assert grow(kept, samples(3), tmp_path / "out").new_samples == 3


def test_what_an_earlier_version_made_grows_too(spec, tmp_path):
    first = grow(spec, samples(15), tmp_path / "out")
    # It counted no cut prompts, and its shards had no columns for what was cut.
    manifest_file = tmp_path / "out" / "000" / "manifest.json"
    manifest = json.loads(manifest_file.read_text())
    del manifest["summary"]["cut_prompts"]
    manifest_file.write_text(json.dumps(manifest))
    for file in first.files:
        pq.write_table(pq.read_table(file).drop(["prompt_cut", "answer_cut"]), file)
    (tmp_path / "out" / "000" / "files.json").unlink()
    grown = grow(spec, samples(24), tmp_path / "out")
    assert (grown.new_samples, grown.summary.samples) == (9, 24)
    second = read_manifest(tmp_path / "out" / "001") or {}
    assert grown.summary.cut_prompts == second["summary"]["cut_prompts"] > 0
    # As the warehouse reads them.
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA pools; CREATE TABLE pools.samples (pool VARCHAR, sample_id VARCHAR)")
        connection.executemany("INSERT INTO pools.samples VALUES ('p', ?)", [[name] for name in samples(24)])
        values = {"pool": "p", "files": [str(file) for file in grown.files]}
        rows = connection.execute(load_sql("30_features/answer_likelihood"), values).fetchall()
    assert len(rows) == 24


def test_ratings_grow_too(spec, tmp_path):
    config = copy.deepcopy(CONFIGS["llama"])
    # The rating prompts need room, as this vocabulary is hardly more than the bytes.
    config.max_position_embeddings = 512
    save_model(Path(spec.model_folder), config)
    rating = made(
        RatingSpec,
        model_folder=spec.model_folder,
        samples_file=spec.samples_file,
        max_length=256,
        tokens_per_batch=512,
    )
    counts = []
    for count in (3, 5):
        write_samples(Path(spec.samples_file), samples(count))
        settings = rating_probability.job_settings(rating)
        counts.append(score_new_samples(rating, tmp_path / "ratings", rate, RatingSummary, settings))
    assert [grown.new_samples for grown in counts] == [3, 2]
    assert counts[1].summary.samples == 5
