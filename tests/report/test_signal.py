"""Signal to noise of benchmarks, on numbers that can be worked out by hand."""

import pytest

from selection_platform.report.result_sections import benchmarks
from selection_platform.report.signal import Signal, signal_in_words, signal_of
from selection_platform.verdict.verdicts import LOSS, verdicts, with_random
from tests.report.frames import MARGINS, VALUES, runs


def found(values):
    return verdicts(with_random(runs(values)), {LOSS: MARGINS.loss}, MARGINS.points)


# Random runs of mean 11 and standard deviation 1.
RANDOM = [10, 11, 12]


def test_arms_are_held_against_what_seeds_make_of_their_means():
    values = {"mmlu": {"random": RANDOM, "ifd": [15], "zip": [5, 6], "base": [90]}}
    signal = signal_of("mmlu", runs(values), found(values))
    assert signal is not None
    # Means 11, 15 and 5.5; the base model is a control. Of 3, 1 and 2 runs.
    assert signal.arms**2 == pytest.approx(((11 - 10.5) ** 2 + 4.5**2 + 5**2) / 2)
    assert signal.seeds**2 == pytest.approx((1 / 3 + 1 + 1 / 2) / 3)
    # 37.25 and 19 for 2 and 2 degrees of freedom at 5%.
    assert signal.seen


@pytest.mark.parametrize(
    "arms",
    [{"ifd": [11.5]}, {"ifd": [12], "zip": [10]}],
    ids=["one", "two"],
)
def test_arms_within_the_noise_are_not_seen(arms):
    values = {"mmlu": {"random": RANDOM, **arms}}
    signal = signal_of("mmlu", runs(values), found(values))
    assert signal is not None
    assert not signal.seen


@pytest.mark.parametrize(
    "values", [{"random": [11, 11], "ifd": [12]}, {"random": [11], "ifd": [12]}, {"random": RANDOM, "base": [3]}]
)
def test_without_noise_or_arms_nothing_is_said(values):
    assert signal_of("mmlu", runs({"mmlu": values}), found({"mmlu": values})) is None


def test_the_advice_names_those_that_tell_nothing():
    some, none = Signal(4.0, 1.0, True), Signal(1.0, 1.0, False)
    assert "leaving them out" in signal_in_words({"a": some, "b": none})
    assert "apart: b. " in signal_in_words({"a": some, "b": none})
    assert signal_in_words({"a": some}).endswith("Each benchmark tells arms apart.")
    assert "No benchmark is seen" in signal_in_words({"b": none})


def test_the_section_of_benchmarks_says_it():
    section = benchmarks(runs(VALUES), found(VALUES))
    assert section is not None
    assert section.tables[-1].header[-1] == "signal to noise"
    assert [row[0].text for row in section.tables[-1].rows] == ["mmlu"]
