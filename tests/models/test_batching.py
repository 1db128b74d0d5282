import numpy as np
import pytest

from benchmarks.scoring_balance import claimed, costs_of
from selection_platform.configuration.profile import load_profile
from selection_platform.models import batching
from selection_platform.models.batching import shard_cut, shard_slices


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


def test_all_that_decides_a_cut_is_in_its_words(monkeypatch):
    cuts = [shard_cut(7), shard_cut(8)]
    for name in ("SMALLEST_SHARD", "SHARDS_LEFT"):
        monkeypatch.setattr(batching, name, 3)
        cuts.append(shard_cut(7))
    assert len(set(cuts)) == 4


@pytest.mark.parametrize("profile", ["demo", "cpu"])
def test_the_small_profiles_cut_their_shards_by_samples_alone(profile):
    scoring = load_profile(profile).scoring
    rows = scoring.samples_per_shard
    assert cut([scoring.max_length] * (2 * rows + 1), rows) == [rows, rows, 1]


def test_shards_cost_one_process_little_padding_and_many_processes_little_time():
    generator = np.random.default_rng(0)
    joint = -np.sort(-np.minimum(generator.lognormal(7, 0.8, 17_500), 4096).astype(np.int64))
    answer = np.maximum(1, joint * generator.random(len(joint))).astype(np.int64)
    whole = costs_of(joint, answer, [slice(None)])
    assert sum(costs_of(joint, answer, list(shard_slices(joint, 10_000)))) < 1.02 * whole[0]
    # A million conversations, 32 processes.
    joint, answer = np.repeat(joint, 57), np.repeat(answer, 57)
    assert claimed(costs_of(joint, answer, list(shard_slices(joint, 10_000))), 32) < 0.03
