"""How well one scorer's scores reproduce the picks of another one, with intervals.

The intervals are those for a pool that is a random draw of a larger one: Wilson's for a share, and Bonett and Wright's
(Psychometrika 2000) for Spearman's correlation.
"""

import math
from typing import NamedTuple

import polars as pl

from selection_platform.errors import PlatformError

GOOD_ENOUGH = 0.8
"""Least `beyond_chance` at which a cheaper scorer may stand in for a dearer one. It is a convention: scoring twice with
other batches gives nearly 1, and whether picks that differ train a worse model, only a verdict shows."""
_Z = 1.959964


class Agreement(NamedTuple):
    """What two scorers have in common.

    Attributes:
        samples: samples that both give a score.
        unscored: samples that one of them or both give none.
        picks: picks of the scorer to be reproduced.
        shared: of these, picks of the other one too.
        share_low: lower end of the 95% interval of shared / picks.
        share_high: its upper end.
        by_chance: share of the picks that a uniform draw of the pool would pick too, on average.
        correlation: Spearman's, over samples that both give a score; None for fewer than four, or where all are equal.
        correlation_low: lower end of its 95% interval.
        correlation_high: its upper end.
    """

    samples: int
    unscored: int
    picks: int
    shared: int
    share_low: float
    share_high: float
    by_chance: float
    correlation: float | None
    correlation_low: float | None
    correlation_high: float | None

    @property
    def beyond_chance(self) -> float:
        """The lower end of the share's interval, on a scale on which chance gives 0, and all picks the same give 1."""
        return (self.share_low - self.by_chance) / (1 - self.by_chance)

    @property
    def good_enough(self) -> bool:
        """Whether the one scorer may stand in for the other."""
        return self.beyond_chance >= GOOD_ENOUGH


def agreement(proxy: pl.DataFrame, whole: pl.DataFrame, budget: int, about: str) -> Agreement:
    """Compare two scorers of the same samples.

    Args:
        proxy: columns sample_id and score (null: cannot be picked) of the scorer that may stand in.
        whole: the same of the scorer to be reproduced.
        budget: samples that each picks, fewer than there are: those of the highest scores; of equal ones, the lower id.
        about: what is compared, for messages.

    Raises:
        PlatformError: a sample is in only one of the tables, or twice; or no sample has a score.
    """
    both = whole.join(proxy, on="sample_id", how="full", suffix="_proxy")
    apart = both.filter(pl.col("sample_id").is_null() | pl.col("sample_id_proxy").is_null())
    if not apart.is_empty():
        name = apart.select(pl.coalesce("sample_id", "sample_id_proxy")).item(0, 0)
        raise PlatformError(
            f"{about}: {apart.height} samples are in one table of scores only, such as {name}; run `selection-platform "
            "run`, which makes the scores of changed pools again"
        )
    if both.height != whole.height or whole["sample_id"].n_unique() != whole.height:
        raise PlatformError(f"{about}: a sample has two scores by one scorer; run `selection-platform verify --deep`")
    picks, others = _best(whole, budget), _best(proxy, budget)
    if not picks:
        raise PlatformError(f"{about}: no sample has a score; look at the column `dropped` of the table of scores")
    scored = both.filter(pl.col("score").is_not_null() & pl.col("score_proxy").is_not_null())
    shared = len(picks & others)
    correlation = _spearman(scored)
    return Agreement(
        scored.height,
        both.height - scored.height,
        len(picks),
        shared,
        *wilson(shared, len(picks)),
        len(others) / both.height,
        correlation,
        *((None, None) if correlation is None else spearman_interval(correlation, scored.height)),
    )


def _best(scores: pl.DataFrame, budget: int) -> set[str]:
    ranked = scores.drop_nulls("score").sort(["score", "sample_id"], descending=[True, False])
    return set(ranked["sample_id"].head(budget))


def _spearman(scored: pl.DataFrame) -> float | None:
    if scored.height < 4 or scored["score"].n_unique() == 1 or scored["score_proxy"].n_unique() == 1:
        return None
    # Equal scores share the mean of their ranks.
    return float(scored.select(pl.corr(pl.col("score").rank(), pl.col("score_proxy").rank())).item())


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    share, spread = hits / of, _Z**2 / of
    middle, half = share + spread / 2, _Z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def spearman_interval(correlation: float, samples: int) -> tuple[float, float]:
    """Bonett and Wright's 95% interval of Spearman's correlation, of four samples or more."""
    if abs(correlation) >= 1 - 1e-12:
        return correlation, correlation
    middle, half = math.atanh(correlation), _Z * math.sqrt((1 + correlation**2 / 2) / (samples - 3))
    return math.tanh(middle - half), math.tanh(middle + half)
