"""Numbers as text, and numbers that differ only by rounding."""

from collections.abc import Iterable

UNITS = ("bytes", "kB", "MB", "GB", "TB")
LARGEST_ROUNDING = 1e-9
"""Largest rounding error, relative to the largest value. The order of an evaluation's sums changes them by at most
1e-12, and a single item by at least 1e-6: its share in the average of five benchmarks with 200,000 items each."""


def is_rounding(spread: float, values: Iterable[float]) -> bool:
    """Whether a spread of values is only rounding.

    NumPy's standard deviation of equal values is often not 0, but a few times 1e-16 of them.

    Args:
        spread: a standard deviation or a difference, in the unit of the values, at least 0.
        values: at least one value.
    """
    return spread <= LARGEST_ROUNDING * max(abs(value) for value in values)


def in_words(count: int) -> str:
    """A number of bytes as text, such as `1.5 GB`."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 or value >= 99.5 else f"{value:.1f} {UNITS[unit]}"


def duration(seconds: float) -> str:
    """A time in words, no finer than it can be foreseen."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"
