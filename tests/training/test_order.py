"""The order of rows, and how micro-batches are made of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.training.batches import Row, RowDataset
from selection_platform.training.order import EpochOrder, Packed, Padded

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=40)
PLANS = st.sampled_from([Padded, lambda most: Packed(most, 0.0), lambda most: Packed(most, 0.01)])


def tokens_of(plan: Any, lengths: list[int]) -> int:
    """What a micro-batch takes of a device's memory."""
    return len(lengths) * max(lengths) if isinstance(plan, Padded) else sum(lengths)


@given(LENGTHS, PLANS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1))
def test_each_step_has_the_rows_of_a_shuffle_in_as_many_micro_batches_for_each_device(
    lengths: list[int], make: Any, multiple: int, devices: int, at_once: int, epoch: int
):
    global_batch, plan = multiple * devices * at_once, make(at_once * max(lengths))
    order = EpochOrder(lengths, global_batch, 5, plan, devices, epochs=2)
    order.epoch = epoch
    batches, of_step = list(order), order.rounds * devices
    assert len(order) == len(batches) == of_step * order.steps_in_epoch
    # Never more than if all rows were as long as the longest.
    assert order.rounds <= multiple
    shuffled = np.random.default_rng([5, epoch]).permutation(len(lengths)).tolist()
    for number in range(order.steps_in_epoch):
        step = [index for batch in batches[number * of_step : (number + 1) * of_step] for index in batch]
        expected = shuffled[number * global_batch : (number + 1) * global_batch]
        assert sorted(index for index in step if index < len(lengths)) == sorted(expected)
    for batch in batches:
        if batch != (len(lengths),):
            assert tokens_of(plan, [lengths[index] for index in batch]) <= plan.most


def in_tokens(order: EpochOrder) -> list[list[int]]:
    """The lengths in each micro-batch."""
    return [[int(order.lengths[index]) for index in batch if index < len(order.lengths)] for batch in order]


def test_packed_rows_go_where_least_is_to_do():
    assert in_tokens(EpochOrder([9, 7, 6, 5, 4, 2], 6, 0, Packed(18, 0.0), devices=3)) == [[9, 2], [7, 4], [6, 5]]
    # Where attention counts, the longest cost more: 29.25 | 19.25 + 8 | 15 + 11.25 + 3.
    order = EpochOrder([9, 7, 6, 5, 4, 2], 6, 0, Packed(18, 0.25), devices=3)
    assert in_tokens(order) == [[9], [6, 5, 2], [7, 4]]


def test_a_micro_batch_without_room_is_passed_over_until_a_shorter_row_fits():
    # The short ones are cheap, but two micro-batches of five tokens do not hold them: there are four.
    order = EpochOrder([4, 2, 2, 2], 4, 0, Packed(5, 100.0), devices=2)
    assert (order.rounds, sorted(in_tokens(order))) == (2, [[2], [2], [2], [4]])
    order = EpochOrder([4, 2, 2, 1, 1], 5, 0, Packed(5, 100.0), devices=2)
    assert in_tokens(order) == [[4, 1], [2, 2, 1]]


def test_padded_rows_share_a_micro_batch_with_their_neighbours():
    # Eight rows of 1 and four of 2 are as much as one of 8: one round for three devices, and not two.
    order = EpochOrder([8, *[2] * 4, *[1] * 8], 24, 0, Padded(32), devices=3)
    assert (order.rounds, sorted(len(batch) for batch in order)) == (1, [1, 4, 8])
    # One device takes as few micro-batches as hold a step.
    assert in_tokens(EpochOrder([3, 1, 2, 5], 4, 0, Padded(10))) == [[3, 2, 1], [5]]


@pytest.mark.parametrize("plan", [Packed(9, 0.0), Padded(9)])
def test_a_device_with_the_largest_micro_batch_has_the_smallest_too(plan: Any):
    # Two devices, two rounds.
    assert in_tokens(EpochOrder([9, 7, 5, 3], 4, 0, plan, devices=2)) == [[9], [7], [3], [5]]


def test_a_blank_row_is_not_trained_on():
    order = EpochOrder([3, 2, 2], 2, 0, Packed(3, 0.0), devices=2)
    assert sorted(order) == [(0,), (1,), (2,), (3,)]
    (blank,) = RowDataset([Row(np.array([7]), np.array([True]))])[(1,)]
    assert not blank.is_target.any()


def test_epochs_and_seeds_differ():
    order = EpochOrder([1] * 50, 50, 0, Packed(50, 0.0))
    first = list(order)
    order.epoch = 1
    assert list(order) != first
    assert list(EpochOrder([1] * 50, 50, 1, Packed(50, 0.0))) != first


def test_padded_rows_of_one_device_are_as_many_as_it_takes_at_once():
    lengths = [10, 9, 3, 3, 2, 2]
    assert in_tokens(EpochOrder(lengths, 6, 0, Padded(20, rows=2))) == [[10, 9], [3, 3], [2, 2]]
    # Fewer micro-batches, with seven more tokens of padding.
    assert in_tokens(EpochOrder(lengths, 6, 0, Padded(20))) == [[10, 9], [3, 3, 2, 2]]
