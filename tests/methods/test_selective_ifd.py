"""S-IFD by hand, and against NumPy's own median and a loop over tokens."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from selection_platform.errors import PlatformError
from selection_platform.methods.selective_ifd import write_selective_ifd


def written(folder, *files):
    """Files of samples: each a name, and its effects or None."""
    paths = []
    for number, rows in enumerate(files):
        effects = pa.array([effect for _, effect in rows], pa.list_(pa.float32()))
        paths.append(folder / f"{number}.parquet")
        pq.write_table(pa.table({"sample_id": [name for name, _ in rows], "prompt_effect": effects}), paths[-1])
    return paths


def scored(folder, wanted, *files):
    threshold = write_selective_ifd(written(folder, *files), wanted, folder / "scores.parquet")
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    return threshold, {row["sample_id"]: (row["selective_ifd"], row["counted_tokens"]) for row in rows}


def test_by_hand(tmp_path):
    # |d| of all tokens: 0, 1, 1, 2, 3, 4: the median is 1.5. Of a, -2 and 4 count; of b, -3; of c none; d has no token.
    files = [("a", [-2, 4, 1]), ("d", None)], [("b", [0, -3]), ("c", [-1]), ("stranger", [9, 9, 9])]
    threshold, scores = scored(tmp_path, set("abcd"), *files)
    assert threshold == 1.5
    assert scores == {"a": (math.exp(1), 2), "b": (math.exp(-3), 1), "c": (None, 0), "d": (None, 0)}
    # Of an odd number the middle one, which does not count itself.
    assert scored(tmp_path, {"a"}, *files) == (2, {"a": (math.exp(4), 1)})


def test_no_tokens(tmp_path):
    with pytest.raises(PlatformError, match="no token of any answer fits the scoring window; raise"):
        scored(tmp_path, {"a"}, [("a", None), ("b", [1.0])])


EFFECTS = arrays.arrays(
    np.float32,
    st.integers(0, 6),
    elements=st.one_of(st.sampled_from([0.0, -0.0, 0.5, -0.5]), st.floats(-50, 50, width=32)),
)


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), EFFECTS), min_size=1, max_size=9))
def test_equals_the_slow_way(tmp_path_factory, effects):
    tokens = np.concatenate([np.zeros(0), *(each for each in effects if each is not None)])
    if not len(tokens):
        return
    names = [f"s{number}" for number in range(len(effects))]
    threshold, scores = scored(tmp_path_factory.mktemp("effects"), names, list(zip(names, effects, strict=True)))
    assert threshold == np.percentile(np.abs(tokens.astype(np.float64)), 50)
    for name, each in zip(names, effects, strict=True):
        counted = [float(effect) for effect in ([] if each is None else each) if abs(effect) > threshold]
        expected = pytest.approx(math.exp(math.fsum(counted) / len(counted)), rel=1e-9) if counted else None
        assert scores[name] == (expected, len(counted))
