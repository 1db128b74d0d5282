"""Scores that the user gives, by a field of the raw rows and by a file, against numbers that stand in them."""

import hashlib
import json

import polars as pl
import pytest

from selection_platform.configuration.pool_settings import PoolSettings
from selection_platform.errors import PlatformError
from selection_platform.job.integrity import ChangedFile
from selection_platform.methods import given_scores
from selection_platform.methods.given_scores import FileReport, file_state, score_by_column, score_by_file
from selection_platform.pools.pool import write_pool
from selection_platform.pools.raw_pool import write_raw_pool
from selection_platform.pools.shards import shard_paths

MISSING, NO_NUMBER = given_scores.MISSING, given_scores.NOT_A_NUMBER
VALUES = {
    "high": 3, "low": -0.5, "zero": 0, "text": "2.5", "nan": float("nan"), "large": 10**400, "true": True, "word": "a",
    "empty": "", "null": None, "list": [1],
}  # fmt: skip
EXPECTED = {
    "high": 3.0, "low": -0.5, "zero": 0.0, "text": 2.5, "nan": given_scores.NOT_FINITE, "true": NO_NUMBER,
    "large": given_scores.NOT_FINITE, "word": NO_NUMBER, "empty": MISSING, "null": MISSING, "list": NO_NUMBER,
    "absent": MISSING,
}  # fmt: skip


class Pool:
    """A pool of one question for each name, with `quality` of the rows as VALUES say."""

    def __init__(self, folder):
        rows = [{"messages": chat(name), "quality": value} for name, value in VALUES.items()]
        rows += [{"messages": chat("absent")}, {"messages": chat("high"), "quality": 99}]
        self.lines = [json.dumps(row) for row in rows]
        (folder / "rows.jsonl").write_text("\n".join(self.lines))
        settings = PoolSettings.model_validate(
            {"source": {"files": str(folder / "rows.jsonl")}, "decontaminate": False}
        )
        self.raw, self.into = folder / "raw", folder / "scores.parquet"
        write_raw_pool(settings, self.raw)
        write_pool(settings, self.raw, [], folder / "pool")
        made = pl.concat([pl.read_parquet(path) for path in shard_paths(folder / "pool")]).sort("sample_id")
        self.names = {row["sample_id"]: row["messages"][0]["content"] for row in made.to_dicts()}
        self.ids = {name: sample_id for sample_id, name in self.names.items()}
        self.samples = made.select("sample_id", "file", "file_row")

    def scores(self):
        rows = pl.read_parquet(self.into)
        assert rows.schema == {"sample_id": pl.String, "score": pl.Float64, "dropped": pl.String}
        assert rows["sample_id"].to_list() == sorted(self.names)
        assert (rows["score"].is_null() == rows["dropped"].is_not_null()).all()
        return {self.names[name]: dropped or score for name, score, dropped in rows.iter_rows()}

    def by_file(self, table: pl.DataFrame, order: given_scores.Order = "descending"):
        table.write_parquet(self.into.with_name("given.parquet"))
        return score_by_file(
            self.into.with_name("given.parquet"), order, self.samples, self.raw, self.into, "arms.mine.scores"
        )


def chat(name):
    return [{"role": "user", "content": name}, {"role": "assistant", "content": "So."}]


@pytest.fixture
def pool(tmp_path):
    return Pool(tmp_path)


def test_a_field_of_the_first_of_equal_rows(pool):
    score_by_column(pool.raw, "quality", "descending", pool.samples, pool.into, "here")
    assert pool.scores() == EXPECTED


def test_the_lowest_first(pool):
    score_by_column(pool.raw, "quality", "ascending", pool.samples, pool.into, "here")
    scores = pool.scores()
    assert (scores["high"], scores["low"]) == (-3.0, 0.5)
    assert str(scores["zero"]) == "0.0"


def test_a_field_that_no_row_has(pool):
    with pytest.raises(PlatformError) as caught:
        score_by_column(pool.raw, "qualty", "descending", pool.samples, pool.into, "arms.mine.column, pool 'p'")
    assert str(caught.value) == (
        "arms.mine.column, pool 'p': no sample has a number in the field 'qualty' (12: the field is missing or empty); "
        "did you mean 'quality'?"
    )


def test_a_file_by_sample_ids(pool):
    names = ["high", "low", "nan", "null", "zero", "zero"]
    table = pl.DataFrame(
        {"sample_id": [*(pool.ids[name] for name in names), "stranger"], "score": [1, 2, float("nan"), None, 7, 7, 3]},
        strict=False,
    )
    assert pool.by_file(table) == FileReport(rows=7, strangers=1, repeated=1)
    wanted = {"high": 1.0, "low": 2.0, "nan": given_scores.NOT_FINITE, "null": given_scores.EMPTY, "zero": 7.0}
    assert pool.scores() == {**dict.fromkeys(EXPECTED, given_scores.NOT_IN_FILE), **wanted}


def test_a_file_by_the_hashes_of_lines(pool):
    hashes = [hashlib.sha256(pool.lines[place].encode()).hexdigest() for place in (0, 1, 12)]
    report = pool.by_file(pl.DataFrame({"row_hash": hashes, "score": [5, 6, 7]}), "ascending")
    # The last line repeats the first one's messages, and is not in the pool.
    assert report == FileReport(rows=3, strangers=1, repeated=0)
    assert pool.scores() == {**dict.fromkeys(EXPECTED, given_scores.NOT_IN_FILE), "high": -5.0, "low": -6.0}


BAD_FILES = [
    ("two numbers for an id", {"sample_id": ["high", "low", "high"], "score": [1.0, 2.0, 3.0]},
     "has several numbers for sample_id '@high' (1.0, 3.0); leave one of them"),
    ("no id of the pool", {"sample_id": ["x"], "score": [1.0]},
     "has none of the pool's samples: its first sample_id is 'x', and the pool's first sample_id is "),
    ("no finite number", {"sample_id": ["high"], "score": [float("nan")]},
     "has no finite number for any of the pool's samples; look at its `score`"),
    ("no ids", {"id": ["high"], "score": [1.0]},
     "needs the columns score and either sample_id or row_hash, and has id, score; rename them"),
    ("two kinds of ids", {"sample_id": ["high"], "row_hash": ["x"], "score": [1.0]},
     "needs the columns score and either sample_id or row_hash, and has sample_id, row_hash, score; rename them"),
    ("no numbers", {"sample_id": ["high"], "quality": [1.0]},
     "needs the columns score and either sample_id or row_hash, and has sample_id, quality; rename them"),
    ("text for numbers", {"sample_id": ["high"], "score": ["1"]}, ": score holds String, and must hold numbers"),
    ("numbers for ids", {"sample_id": [1], "score": [1.0]}, ": sample_id holds Int64, and must hold text; write it so"),
    ("no rows", {"sample_id": pl.Series([], dtype=pl.String), "score": pl.Series([], dtype=pl.Float64)},
     "has no rows; write it again"),
    ("an empty id", {"sample_id": ["high", None], "score": [1.0, 2.0]},
     ", row 2: sample_id is empty (1 such rows); fill it in"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "message"), [pytest.param(*case, id=id) for id, *case in BAD_FILES])
def test_a_file_that_cannot_be_used(pool, columns, message):
    ids = columns.get("sample_id")
    if isinstance(ids, list):
        columns = {**columns, "sample_id": [pool.ids.get(name, name) for name in ids]}
    with pytest.raises(PlatformError) as caught:
        pool.by_file(pl.DataFrame(columns))
    said = str(caught.value).replace(str(pool.into.parent), "").replace(pool.ids["high"], "@high")
    assert said.startswith("arms.mine.scores: /given.parquet")
    assert message in said
    assert not pool.into.exists()


def test_raw_rows_that_changed_are_not_used(pool):
    shard = shard_paths(pool.raw)[0]
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(ChangedFile, match="and was written with"):
        score_by_column(pool.raw, "quality", "descending", pool.samples, pool.into, "here")


def test_a_file_that_is_none(pool):
    path = pool.into.with_name("given.parquet")
    with pytest.raises(ValueError, match=r"here: there is no file .*given.parquet; correct the path"):
        score_by_file(path, "descending", pool.samples, pool.raw, pool.into, "here")
    assert file_state(path) is None
    path.write_text("sample_id,score")
    with pytest.raises(ValueError, match=r"here: .*given.parquet is not a readable Parquet file"):
        score_by_file(path, "descending", pool.samples, pool.raw, pool.into, "here")
    assert file_state(path) == hashlib.sha256(b"sample_id,score").hexdigest()
