import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.score_noise import compared, ifd_scores

pytestmark = pytest.mark.slow


def test_noise_is_of_ifd_also_above_1(tmp_path):
    # By its tokens: (6 / 3) / (8 / 2), then (9 / 3) / (4 / 2), cut, and without an answer.
    rows = {
        "sample_id": ["d", "b", "c", "a"],
        "answer_nll": [6.0, 9.0, 1.0, None],
        "answer_tokens": [3, 3, 1, 0],
        "direct_answer_nll": [8.0, 4.0, 2.0, None],
        "direct_answer_tokens": [2, 2, 1, 0],
        "truncated": [False, False, True, False],
    }
    pq.write_table(pa.table(rows), tmp_path / "part-00000.parquet")
    np.testing.assert_array_equal(ifd_scores([tmp_path / "part-00000.parquet"]), [np.nan, 1.5, np.nan, 0.5])


def test_a_row_that_has_a_score_once_alone_is_a_changed_pick_and_no_noise():
    reference = np.append(np.arange(20) / 20, np.nan)
    other = reference + 0.01 * np.tile([1, -1, 0], 7)
    other[19] = np.nan
    found = compared(reference, other)
    assert (found.changed, found.share) == (1, pytest.approx(np.std((other - reference)[:19]) / np.std(reference[:20])))


def test_a_row_that_sinks_below_1_changes_a_pick():
    reference, other = np.append(np.arange(20) / 20, 1.01), np.append(np.arange(20) / 20, 0.99)
    assert compared(reference, other).changed == 1
