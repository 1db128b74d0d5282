"""Whitening by hand, and against scikit-learn's PCA."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from selection_platform.errors import PlatformError
from selection_platform.methods import whitening
from selection_platform.methods.target_similarity import normalised
from selection_platform.methods.whitening import fit_whitening


def test_every_direction_varies_equally_by_hand():
    # Around (10, 20): four to either side in the first dimension, one in the second.
    vectors = np.array([[14, 20], [6, 20], [10, 21], [10, 19]], dtype=np.float32)
    white = fit_whitening(vectors)(np.array([[14, 21]], dtype=np.float32))
    # The standard deviations are sqrt(32 / 4) and sqrt(2 / 4).
    assert sorted(np.abs(white[0]).tolist()) == pytest.approx([4 / 8**0.5, 1 / 0.5**0.5])
    # What varies most is kept first.
    assert np.abs(fit_whitening(vectors, 1)(vectors)).ravel().tolist() == pytest.approx([2**0.5, 2**0.5, 0, 0])


@pytest.mark.parametrize("block", [7, 8192])
def test_cosines_equal_those_of_scikit_learn(block, monkeypatch):
    monkeypatch.setattr(whitening, "ROWS_PER_BLOCK", block)
    generator = np.random.default_rng(0)
    mixed = generator.standard_normal((200, 12)) @ generator.standard_normal((12, 12)) + 50
    vectors = mixed.astype(np.float32)
    ours = normalised(fit_whitening(vectors, 5)(vectors))
    theirs = normalised(PCA(5, whiten=True, svd_solver="full").fit_transform(vectors.astype(np.float64)))
    assert ours @ ours.T == pytest.approx(theirs @ theirs.T, abs=1e-4)


def test_directions_in_which_nothing_varies_are_left_out():
    vectors = np.zeros((5, 3), dtype=np.float32)
    with pytest.raises(PlatformError, match=r"rds_plus.whitened: all samples have the same hidden states"):
        fit_whitening(vectors)
    vectors[:, 1] = [1, 2, 3, 4, 5]
    assert fit_whitening(vectors).directions.shape == (3, 1)
