"""How many picks another scoring would change: on scores by hand, and on rows of a warehouse."""

import numpy as np
import polars as pl
import pytest
import yaml

from selection_platform.configuration.profile import load_profile
from selection_platform.features.rescored import is_rescored
from selection_platform.report.rescored import HIGHEST, changed_picks, rescored_rows, sentences
from sql.queries import load_sql
from tests.report.frames import OVERLAP, data
from tests.report.test_sections import section
from tests.small_run import PROFILE


def by(move, *scores):
    """Two scorings, of which the second is higher by a move, and the scores of all samples."""
    first = np.array(scores)
    return first, first, first + move


def test_a_pick_is_lost_if_another_one_passes_it():
    scores = 0.25, 0.625, 0.5, 0.875
    # One time in four the second and the third are equal, and the second stays; the fourth is too far.
    assert changed_picks(*by(0.0625, *scores), 2) == 0.0
    assert changed_picks(*by(0.07, *scores), 2) == pytest.approx(1 / 4, abs=0.1)


def test_a_pick_is_lost_if_it_rises_above_the_highest():
    # 0.95 does half the time.
    scores = by(0.1, 0.2, 0.95, 0.5)
    assert changed_picks(*scores, 2, highest=1.0) == pytest.approx(1 / 2, abs=0.12)
    assert changed_picks(*scores, 2) == 0.0


def test_a_pick_is_lost_if_another_sample_sinks_below_the_highest():
    # 0.9 is kept if it sinks and 1.05 rises. 1.2 is too far.
    assert changed_picks(*by(0.12, 0.2, 1.2, 1.05, 0.9), 1, highest=1.0) == pytest.approx(3 / 4, abs=0.12)


def test_scores_move_as_the_nearest_ones_that_were_scored_twice_do():
    scores = np.linspace(0, 1, 1000)
    first = scores[::5]
    # The best four in ten stay as they are, the others move by as much as a hundred places.
    second = np.where(first < 0.6, first + 0.1 * (-1) ** np.arange(200), first)
    assert changed_picks(scores, first, second, 50) == 0.0
    assert changed_picks(scores, first, second, 500) > 10


def test_without_differences_no_pick_changes():
    assert changed_picks(*by(0.0, *np.arange(9) / 9), 3, 1.0) == 0.0


@pytest.mark.parametrize(("budget", "highest"), [(1, np.inf), (40, np.inf), (199, np.inf), (40, 1.0)])
def test_it_is_how_many_picks_change_on_average(budget, highest):
    generator = np.random.default_rng(budget)
    scores, noise = generator.normal(size=400), 0.1 * generator.normal(size=4000)

    def picks(of):
        return set(np.argsort(np.where(of > highest, np.inf, -of))[:budget].tolist())

    lost = [len(picks(scores) - picks(scores + generator.permutation(noise)[:400])) for _ in range(500)]
    moved = scores + generator.permutation(noise)[:400]
    assert changed_picks(scores, scores, moved, budget, highest) == pytest.approx(np.mean(lost), rel=0.2, abs=0.2)


def profile_of(folder, **changes):
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({**PROFILE, "budgets": [1], "dtype": "bfloat16", **changes}))
    return load_profile(str(path))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"arms": {"ifd": {}}}, True),
        ({"arms": {"km_ifd": {}}}, False),
        ({"arms": {"entropy": {}, "ifd.pre_experience": {}}}, False),
        ({"arms": {"ifd": {}}, "dtype": "float32"}, False),
    ],
)
def test_samples_are_rescored_for_ifd_in_half_precision(tmp_path, changes, expected):
    assert is_rescored(profile_of(tmp_path, **changes)) is expected


OF = {"pool": "letters", "model": "tiny"}


@pytest.fixture
def warehouse(tmp_path, new_warehouse):
    """IFD 0.8, 0.6, 0.5 and 1.05; scored again, the last three have 0.7, 0.4 and 0.95."""
    warehouse = new_warehouse(tmp_path / "warehouse")
    for reader, values in (
        ("base", "('a', 0.8, 1), ('b', 0.6, 1), ('c', 0.5, 1), ('d', 1.05, 1)"),
        ("rescored", "('b', 0.7, 1), ('c', 0.4, 1), ('d', 0.95, 1)"),
    ):
        warehouse.replace(
            "features.answer_likelihood",
            {**OF, "reader": reader},
            f"""
            SELECT
                sample_id, answer_nll, 1 AS answer_tokens, direct_answer_nll, 1 AS direct_answer_tokens,
                false AS truncated
            FROM (VALUES {values}) AS given(sample_id, answer_nll, direct_answer_nll)
            """,
        )
    return warehouse


def test_what_is_compared_is_the_score_up_to_1(warehouse):
    twice = warehouse.query(load_sql("90_reports/ifd_twice"), {**OF, "again": "rescored"})
    for reader, column in (("base", "first"), ("rescored", "second")):
        scores = warehouse.query(load_sql("40_scores/ifd"), {**OF, "reader": reader, "published": False})
        expected = {id: score for id, score in scores.select("sample_id", "score").iter_rows() if score is not None}
        found = twice.filter(pl.col(column) <= HIGHEST).select("sample_id", column).iter_rows()
        assert dict(found) == expected


def test_the_rows_are_of_samples_with_two_scores(warehouse, tmp_path):
    profile = profile_of(tmp_path, arms={"ifd": {}}, budgets=[1, 3])
    with warehouse.queries(warehouse.snapshot()) as query:
        rows = rescored_rows(profile, query)
    # Of those that have a score, one rises by 0.1 and one sinks by as much; the scores' own deviation is 0.125.
    # 1.05 sinks below 1 half the time, and passes 0.8. All three is no choice.
    expected = [("tiny", "letters", 1, 3, pytest.approx(0.1 / 0.12472, rel=1e-4), pytest.approx(1 / 2, abs=0.12))]
    assert rows.rows() == expected


def test_the_report_says_it_beside_the_overlap():
    row = {"model": "m", "pool": "p", "budget": 10_000, "rescored": 1000, "noise": 0.00052, "changed": 5.4}
    rows = pl.DataFrame([row])
    said = (
        "m · p · 10,000: scored again in other batches, IFD would change about 5.4 of its 10,000 picks. 1,000 samples "
        "were scored twice, and their scores moved by 0.05% of a standard deviation."
    )
    assert sentences(rows) == [said]
    assert section("overlap", data(selection_overlap=OVERLAP, rescored=rows)).paragraphs[-1] == said
    assert section("overlap", data(rescored=rows)).paragraphs == [said]
