"""Whether numbers differ by more than the order in which they were summed."""

from collections.abc import Iterable

LARGEST_ROUNDING = 1e-9
"""Of the largest value. The order of an evaluation's sums changes them by 1e-12 at most, and one item by 1e-6 at least:
it moves the average of five benchmarks of 200,000 items each by so much of its range."""


def is_rounding(spread: float, values: Iterable[float]) -> bool:
    """Whether a spread of values is nothing but rounding.

    NumPy's standard deviation of equal values is often not 0 but a few times 1e-16 of them.

    Args:
        spread: such as a standard deviation or a difference, in the unit of the values, at least 0.
        values: at least one.
    """
    return spread <= LARGEST_ROUNDING * max(abs(value) for value in values)
