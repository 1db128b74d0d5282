"""How many picks of IFD would change if the pool were scored again.

In bfloat16 the last digits of a score depend on which samples share a batch. A part of each pool is scored a second
time, in other batches: how far its scores move says how many samples of the whole pool would cross a border.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from selection_platform.configuration.profile import Profile
from selection_platform.features.rescored import READER
from selection_platform.report.cells import about_cell
from sql.queries import load_sql

if TYPE_CHECKING:
    from selection_platform.report.data import Query

Scores = NDArray[np.float64]
DRAWS = 100
"""Draws of differences that a number of changed picks is the mean of."""
NEAREST = 50
"""Samples scored twice that a score's move is drawn from."""
HIGHEST = 1.0
"""IFD above it is no score."""
SCHEMA = {
    "model": pl.String, "pool": pl.String, "budget": pl.Int64, "rescored": pl.Int64, "noise": pl.Float64,
    "changed": pl.Float64,
}  # fmt: skip
"""Model, pool and budget; samples with two scores; standard deviation of the difference / that of the scores; picks."""


def changed_picks(scores: Scores, first: Scores, second: Scores, budget: int, highest: float = np.inf) -> float:
    """How many of the best scores would be others after another scoring, on average.

    Each score moves by the difference of a random one of the samples that were scored twice, among those with the
    nearest scores: short answers have more noise than long ones, and other scores.

    Args:
        scores: of all samples, none NaN.
        first: of samples that were scored twice, at least one.
        second: of the same samples, in the same order.
        budget: number of picks, fewer than the scores up to `highest`.
        highest: what is above it is not picked. A pick may rise above it, and another sample sink below it.
    """
    generator = np.random.default_rng(0)
    order = np.argsort(first, kind="stable")
    twice, moves = first[order], (second - first)[order]
    best = -np.sort(-scores)
    most = np.abs(moves[twice <= highest]).max(initial=0)
    last = best[best <= highest][budget - 1]
    # A score farther below the last pick cannot pass it, and one farther above the highest cannot sink below that.
    near = best[(best >= last - 2 * most) & (best <= highest + most)]
    start = int((near > highest).sum())
    nearest = min(NEAREST, len(moves))
    lowest = np.clip(np.searchsorted(twice, near) - nearest // 2, 0, len(moves) - nearest)
    kept = 0
    for _ in range(DRAWS):
        # Either of the two scorings could have been the first.
        signs = generator.choice([-1, 1], len(near))
        moved = near + signs * moves[lowest + generator.integers(nearest, size=len(near))]
        moved[moved > highest] = -np.inf
        picks = np.argsort(-moved, kind="stable")[:budget]
        kept += np.isfinite(moved[picks[(picks >= start) & (picks < start + budget)]]).sum()
    return budget - float(kept) / DRAWS


def rescored_rows(profile: Profile, query: "Query") -> pl.DataFrame:
    """What another scoring by IFD would change: a row for each model, pool and budget, with the columns of `SCHEMA`."""
    rows: list[dict[str, Any]] = []
    for scoring in profile.scorings.values():
        of = {"pool": scoring.pool, "model": scoring.model, "again": READER}
        samples = query(load_sql("90_reports/ifd_twice"), of)
        of_all, both = samples["first"].drop_nulls().to_numpy(), samples.drop_nulls()
        first, second = both["first"].to_numpy(), both["second"].to_numpy()
        scores, is_score = of_all[of_all <= HIGHEST], first <= HIGHEST
        if not is_score.any() or np.ptp(scores) == 0:
            continue
        noise = float(np.std((second - first)[is_score]) / np.std(scores))
        for budget in [each for each in profile.budgets if each < len(scores)]:
            changed = changed_picks(of_all, first, second, budget, HIGHEST)
            values = (scoring.model, scoring.pool, budget, len(first), noise, changed)
            rows.append(dict(zip(SCHEMA, values, strict=True)))
    return pl.DataFrame(rows, schema=SCHEMA)


def sentences(rows: pl.DataFrame) -> list[str]:
    """For each model, pool and budget, how many picks another scoring would change."""
    said: list[str] = []
    for row in rows.iter_rows(named=True):
        changed, cell = row["changed"], about_cell((row["model"], row["pool"], row["budget"]))
        said.append(
            f"{cell}: scored again in other batches, IFD would change about {changed:,.{int(changed < 10)}f} of its "
            f"{row['budget']:,} picks. {row['rescored']:,} samples were scored twice, and their scores moved by "
            f"{row['noise']:.2%} of a standard deviation."
        )
    return said
