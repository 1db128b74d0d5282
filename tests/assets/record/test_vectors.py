"""The vectors of samples as an array."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.record.vectors import Vectors, as_array


@pytest.mark.parametrize("fails", [False, True])
def test_the_array_is_deleted_also_where_its_use_fails(tmp_path, fails):
    shard, scratch = tmp_path / "part-00000.parquet", tmp_path / "scratch"
    values = pa.FixedSizeListArray.from_arrays(pa.array([3.0, 4, 1, 2, 5, 6], pa.float32()), 2)
    pq.write_table(pa.table({"sample_id": ["b", "a", "c"], "embedding": values}), shard)
    try:
        with as_array(Vectors([shard], {"a", "b"}), scratch) as (ids, vectors):
            assert (ids, vectors.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
            assert scratch.exists()
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert not scratch.exists()
