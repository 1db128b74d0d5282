"""Agreement of two scorers, against numbers worked out by hand."""

import polars as pl
import pytest

from selection_platform.errors import PlatformError
from selection_platform.report.agreement import agreement, spearman_interval, wilson

WHOLE = dict(zip("abcdef", [6, 5, 4, 3, 2, 1], strict=True))


def scores(of_samples):
    schema = {"sample_id": pl.String, "score": pl.Float64}
    return pl.DataFrame({"sample_id": list(of_samples), "score": list(of_samples.values())}, schema=schema)


def compared(proxy, whole=WHOLE, budget=2):
    return agreement(scores(proxy), scores(whole), budget, "ifd and model small")


def moved(count, of, picks):
    """Two scorers of so many samples, of whose picks so many differ."""
    whole = {f"s{place:05d}": of - place for place in range(of)}
    names = list(whole)
    return whole | dict.fromkeys(names[:count], 0) | dict.fromkeys(names[picks : picks + count], 2 * of), whole


def test_picks_and_ranks_in_common():
    found = compared({"f": 2, "e": 3, "d": 4, "c": 5, "b": 1, "a": 6})
    assert (found.samples, found.unscored, found.picks, found.shared) == (6, 0, 2, 1)
    assert found.by_chance == pytest.approx(1 / 3)
    # Differences of ranks: 4 once and 1 four times.
    assert found.correlation == pytest.approx(1 - 6 * 20 / (6 * 35))
    assert (found.share_low, found.share_high) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    assert (found.correlation_low, found.correlation_high) == pytest.approx((-0.6196, 0.9275), abs=1e-4)


def test_equal_scores_go_to_the_lower_id_whatever_the_order_of_rows():
    found = compared(dict.fromkeys("dcba", 1), {"c": 1, "a": 1, "d": 0, "b": 1})
    # Both pick a and b.
    assert found.shared == 2
    assert found.correlation is None


def test_samples_without_a_score_are_counted_and_never_picked():
    found = compared({**WHOLE, "a": None, "f": None}, {**WHOLE, "e": None, "f": None})
    # The one picks a and b, the other b and c.
    assert (found.samples, found.unscored, found.picks, found.shared) == (3, 3, 2, 1)
    assert found.correlation is None
    # One scores fewer than the budget: it picks what it scores.
    assert compared({**dict.fromkeys("bcdef"), "a": 1}).by_chance == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ({name: 1 for name in "abcde"}, "1 samples are in one table of scores only, such as f; run"),
        ({**WHOLE, "g": 1}, "1 samples are in one table of scores only, such as g; run"),
    ],
)
def test_a_sample_that_only_one_has_is_an_error(proxy, message):
    with pytest.raises(PlatformError, match=f"^ifd and model small: {message}"):
        compared(proxy)


def test_a_sample_with_two_scores_is_an_error():
    twice = pl.concat([scores(WHOLE), scores({"a": 1})])
    for proxy, whole in ((twice, scores(WHOLE)), (scores(WHOLE), twice)):
        with pytest.raises(PlatformError, match="two scores"):
            agreement(proxy, whole, 2, "ifd")


def test_without_any_score_there_is_nothing_to_reproduce():
    with pytest.raises(PlatformError, match="no sample has a score"):
        compared(WHOLE, dict.fromkeys("abcdef"))


@pytest.mark.parametrize(
    ("count", "of", "picks", "good"),
    [
        # 92 of 100: at least 85% by the interval. 87: at least 79%.
        (8, 10_000, 100, True),
        (13, 10_000, 100, False),
        # 47 of 50, at least 84%. But chance gives half.
        (3, 10_000, 50, True),
        (3, 100, 50, False),
    ],
)
def test_good_enough_is_without_what_chance_gives(count, of, picks, good):
    proxy, whole = moved(count, of, picks)
    found = compared(proxy, whole, picks)
    assert found.shared == picks - count
    assert found.good_enough is good


def test_intervals():
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert spearman_interval(1.0, 10) == (1, 1)
