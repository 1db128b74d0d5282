"""Turns by hand, and against a plain loop."""

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.methods.round_robin import best_rows, in_turns, write_picks


def turns(*ranked, count, whole=True):
    picked = in_turns([np.array(rows, dtype=np.int64) for rows in ranked], count, whole=whole)
    return None if picked is None else picked.tolist()


def test_each_target_in_turn_takes_its_best_row_that_is_left():
    # Both want row 7 first; the second then takes 1, and its next best that is left is 5.
    assert turns([7, 3, 1], [7, 1, 3, 5], count=4) == [7, 1, 3, 5]
    assert turns([7, 3, 1], [7, 1, 3, 5], count=3) == [7, 1, 3]
    # One that has no rows left takes no more turns.
    assert turns([7], [7, 1, 3], [2, 4], count=9) == [7, 1, 2, 3, 4]
    assert turns([7], [7, 1, 3], count=3, whole=False) is None
    assert turns([7], [7, 1, 3], count=2, whole=False) == [7, 1]
    assert turns(count=2) == []


def test_the_best_rows_and_ties_by_the_first():
    values = np.array([1.0, 3.0, 2.0, 3.0, 1.0, 2.0])
    assert best_rows(values, 3).tolist() == [1, 3, 2]
    assert best_rows(values, 5).tolist() == [1, 3, 2, 5, 0]
    assert best_rows(values, 99).tolist() == [1, 3, 2, 5, 0, 4]
    assert best_rows(values, 0).tolist() == []


@given(st.lists(st.lists(st.integers(0, 3), min_size=8, max_size=8), min_size=1, max_size=4), st.integers(1, 10))
def test_equals_a_plain_loop(table, count):
    expected, target = [], 0
    while len(expected) < min(count, 8):
        values = table[target % len(table)]
        expected.append(min((-value, row) for row, value in enumerate(values) if row not in expected)[1])
        target += 1
    assert turns(*(best_rows(np.array(values), count) for values in table), count=count) == expected


def test_picks_are_written_in_order(tmp_path):
    groups = [(["a", "b", "c"], np.array([0.1, 0.9, 0.9])), (["b", "c"], np.array([0.5, 0.4]))]
    write_picks(groups, 2, tmp_path / "picks.parquet")
    assert pq.read_table(tmp_path / "picks.parquet").to_pydict() == {"sample_id": ["b", "c"], "position": [1, 2]}
