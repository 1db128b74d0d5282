import numpy as np
import pytest

from selection_platform.models import batching
from selection_platform.models.batching import shard_slices


def cut(lengths, samples_per_shard):
    return [part.stop - part.start for part in shard_slices(np.array(lengths, dtype=np.int32), samples_per_shard)]


@pytest.mark.parametrize(
    ("lengths", "samples_per_shard", "expected"),
    [
        ([], 3, []),
        ([4, 3, 2, 1], 3, [3, 1]),
        # By tokens: 10 at most.
        ([6, 4, 4, 4, 2, 1], 9, [2, 3, 1]),
        # The longest sample may be longer than a shard.
        ([30, 11, 5, 5], 9, [1, 1, 2]),
        # Whatever has no token stays with what is before it.
        ([5, 5, 0, 0, 1], 9, [4, 1]),
        ([5, 5, 0, 0, 1], 3, [3, 2]),
        ([0, 0, 0], 2, [2, 1]),
    ],
)
def test_a_shard_ends_at_whichever_limit_comes_first(monkeypatch, lengths, samples_per_shard, expected):
    monkeypatch.setattr(batching, "SMALLEST_SHARD", 10)
    assert cut(lengths, samples_per_shard) == expected


def test_shards_get_smaller_towards_the_end(monkeypatch):
    monkeypatch.setattr(batching, "SMALLEST_SHARD", 3)
    monkeypatch.setattr(batching, "SHARDS_LEFT", 4)
    # A quarter of 20 tokens, of 15, 12 and 9, and then 3 each.
    assert cut([1] * 20, 9) == [5, 3, 3, 3, 3, 3]


def test_the_shards_of_the_shipped_small_profiles_are_those_cut_by_samples_alone():
    # 80 samples of 512 tokens at most are fewer tokens than a shard may have.
    assert cut([512] * 200, 80) == [80, 80, 40]
