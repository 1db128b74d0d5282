"""The noise ceiling of the linear datamodelling score."""

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds_agree", "seeds", "expected"),
    [(0.5, 1, 0.5**0.5), (0.5, 2, (2 / 3) ** 0.5), (1.0, 3, 1.0), (0.0, 2, 0.0), (-0.2, 10, 0.0), (-1.0, 2, 0.0)],
)
def test_what_perfect_scores_reach(seeds_agree, seeds, expected):
    # It imports torch.
    from benchmarks.lds import reachable

    assert reachable(seeds_agree, seeds) == pytest.approx(expected)
