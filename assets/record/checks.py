"""Asset checks: conditions that every partition must meet, and warnings. Each materialisation returns their results.

A failed blocking check stops only downstream steps of the same run. So the asset itself also raises an error, before
anything is committed, and the check shows the numbers. A failed check that is not blocking is a warning and stops
nothing.

Dagster takes about 0.03 s to record each check, so related facts are one check.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from resources.plain_paths import plain_paths
from resources.replacement import Verifier
from selection_platform.errors import PlatformError
from selection_platform.text.numbers import is_rounding
from sql.queries import load_sql

# Partitions of checks are a preview in 1.13; without them a check would only show the partition materialised last.
warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)

MOST_TRUNCATED = 0.2
MOST_UNSCORED = 0.2
STRONGEST_LENGTH_CORRELATION = 0.9

Facts = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One check of an asset.

    Attributes:
        name: a noun.
        description: when it passes.
        blocking: whether a failure stops the asset; otherwise it is a warning.
    """

    name: str
    description: str
    blocking: bool = False

    def spec(self, asset: Sequence[str], partitions: dg.PartitionsDefinition[str] | None) -> dg.AssetCheckSpec:
        """The check as part of an asset's definition. Each partition has its own result."""
        return dg.AssetCheckSpec(
            self.name,
            asset=asset,
            description=self.description,
            blocking=self.blocking,
            partitions_def=partitions,
        )

    def result(
        self, passed: bool, numbers: Mapping[str, Any], asset: Sequence[str] | None = None
    ) -> dg.AssetCheckResult:
        """A result of the check. `asset` is needed if one computation gives several assets."""
        return dg.AssetCheckResult(
            check_name=self.name,
            asset_key=asset,
            passed=passed,
            metadata=numbers,
            severity=dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN,
        )


UP_TO_DATE = Check(
    "up_to_date",
    "Nothing that the partition depends on has changed. If something has, it is listed here, as in "
    "`selection-platform status`.",
)
SEPARATION = Check("separation", "No sample is both selectable and held out.", blocking=True)
SIZE = Check("size", "No setting needs more samples than the pool has.", blocking=True)
COMPLETENESS = Check(
    "completeness", "Each sample of the pool has all its rows, and no other sample has any.", blocking=True
)
TRUNCATION = Check(
    "truncation", f"At most {MOST_TRUNCATED:.0%} of the prompts, and of the answers, are cut by the window."
)
FINITENESS = Check("finiteness", "There are scores, and none is NaN or infinite.", blocking=True)
SPREAD = Check(
    "spread",
    "Scores differ by more than rounding. If they do not, samples are picked by id, as in an arbitrary draw.",
)
COVERAGE = Check(
    "coverage",
    f"At most {MOST_UNSCORED:.0%} of the rows have no score. Methods that only score their picks always pass.",
)
LENGTH_CORRELATION = Check(
    "length_correlation",
    f"Spearman's correlation of the scores with the characters of the last answers is at most "
    f"{STRONGEST_LENGTH_CORRELATION} either way. Beyond it, the method picks by length; `token_length` does by design.",
)
BUDGET = Check("budget", "The number of selected samples is the budget.", blocking=True)
IDS = Check("ids", "No id is selected twice, all are in the pool, and they are in rank order.", blocking=True)
FINAL_LOSS = Check("final_loss", "The loss at the end of the training is a number.", blocking=True)
TRAINED_SAMPLES = Check("trained_samples", "Every selected sample was trained on, in full or cut.")
TEMPLATE = Check("template", "Scores, training and evaluation rendered text with the same template.", blocking=True)

POOL_CHECKS = (SEPARATION, SIZE)
SCORE_CHECKS = (FINITENESS, SPREAD, COVERAGE, LENGTH_CORRELATION)
SELECTION_CHECKS = (BUDGET, IDS)


def specs(
    checks: Sequence[Check], partitions: dg.PartitionsDefinition[str] | None, *asset: str
) -> list[dg.AssetCheckSpec]:
    """The specs of an asset's checks, and of the check that every asset has."""
    return [check.spec(asset, partitions) for check in (*checks, UP_TO_DATE)]


def separation_verifier(pool: str, files: Sequence[Path]) -> Verifier:
    """A verifier that raises if a pool's shards, before they are committed, have a sample on both sides."""

    def verify(connection: duckdb.DuckDBPyConnection) -> None:
        with plain_paths() as plain:
            values = {"files": [plain(file) for file in files]}
            ((shared,),) = connection.execute(load_sql("10_pools/on_both_sides"), values).fetchall()
        if shared:
            raise PlatformError(
                f"pool {pool!r}: {shared:,} samples are both selectable and held out; this is a bug, please report it"
            )

    return verify


def separation_result() -> dg.AssetCheckResult:
    """The result for a pool that passed `separation_verifier`."""
    return SEPARATION.result(True, {"samples on both sides": 0})


def size_result(samples: int, needs: Mapping[str, int]) -> dg.AssetCheckResult:
    """Whether a pool is large enough.

    Args:
        samples: number of samples that can be selected.
        needs: number of samples that each setting needs.
    """
    return SIZE.result(all(need <= samples for need in needs.values()), {"samples": samples, **needs})


_CUT = "cut prompts", "cut answers"


class Completeness:
    """Whether each sample of the pool has all its rows in a partition of features, and no other has any."""

    def __init__(self, table: str, partition: Mapping[str, str], rows_each: int = 1) -> None:
        """Take the table, the columns and values of the partition, and the number of rows per sample."""
        self._table, self._partition, self._rows_each = table, partition, rows_each
        self._counted: dict[str, int] = {}

    def verify(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Count the rows before they are committed.

        Raises:
            PlatformError: the rows are not complete.
        """
        columns = {"reader": None, "direction": None, "targets": None, **self._partition}
        values = {"table": self._table, **columns, "rows_each": self._rows_each}
        counted = connection.execute(load_sql("30_features/completeness"), values).pl().row(0, named=True)
        incomplete, strange = counted["incomplete samples"], counted["samples that are not in the pool"]
        if incomplete or strange:
            raise PlatformError(
                f"{self._table} of {self._partition['pool']}: {incomplete:,} samples of the pool do not have "
                f"{self._rows_each} rows each, and {strange:,} samples with rows are not in the pool; "
                "materialise the pool and then these features again"
            )
        self._counted = counted

    def truncation_result(self, asset: str | None = None) -> dg.AssetCheckResult:
        """The result for cut samples in the table. `asset` is needed if one computation gives several assets."""
        cut_prompts, cut_answers = (self._counted[name] for name in _CUT)
        return truncation_result(cut_prompts, cut_answers, self._counted["samples of the pool"], asset)

    def result(self, asset: str | None = None) -> dg.AssetCheckResult:
        """The result for rows that passed `verify`. `asset` is needed if one computation gives several assets."""
        shown = {name: count for name, count in self._counted.items() if name not in _CUT}
        return COMPLETENESS.result(True, {**shown, "rows for each": self._rows_each}, asset)


def truncation_result(
    cut_prompts: int, cut_answers: int, samples: int, asset: str | None = None
) -> dg.AssetCheckResult:
    """The result for the numbers of samples with a cut prompt and with a cut answer."""
    share = max(cut_prompts, cut_answers) / samples if samples else 0.0
    numbers = {**dict(zip(_CUT, (cut_prompts, cut_answers), strict=True)), "share": share}
    return TRUNCATION.result(share <= MOST_TRUNCATED, numbers, asset)


def score_results(
    summary: Facts, correlation: float | None, compared: int, *, picks_alone: bool
) -> list[dg.AssetCheckResult]:
    """The results for scores that are finite.

    Args:
        summary: the row of `sql/40_scores/summary.sql`.
        correlation: correlation with the answers' length; None if all scores or all lengths are equal.
        compared: number of rows of the correlation.
        picks_alone: whether the method only scores its picks.
    """
    unscored = 1 - summary["scored"] / summary["rows"]
    shown = {} if correlation is None else {"Spearman's correlation": correlation}
    ends = summary["lowest"], summary["highest"]
    width = ends[1] - ends[0]
    return [
        FINITENESS.result(True, {"NaN or infinite": summary["not_finite"]}),
        SPREAD.result(not is_rounding(width, ends), {"width": width}),
        COVERAGE.result(picks_alone or unscored <= MOST_UNSCORED, {"share without a score": unscored}),
        LENGTH_CORRELATION.result(abs(correlation or 0) <= STRONGEST_LENGTH_CORRELATION, {"rows": compared, **shown}),
    ]


def selection_results(facts: Facts) -> list[dg.AssetCheckResult]:
    """The results for a selection that passed its verifier, from its counts."""
    size = {name: facts[name] for name in ("selected", "wanted")}
    return [
        BUDGET.result(size["selected"] == size["wanted"], size),
        IDS.result(True, {name: count for name, count in facts.items() if name not in size}),
    ]


def final_loss_result(manifest: Mapping[str, Any]) -> dg.AssetCheckResult:
    """The result for a model. A training with a loss of NaN raises an error itself, and writes no manifest."""
    loss = manifest.get("final_loss")
    # A model that was trained elsewhere has no loss.
    return FINAL_LOSS.result(loss is None or math.isfinite(loss), {} if loss is None else {"nats per token": loss})


def trained_samples_result(manifest: Mapping[str, Any]) -> dg.AssetCheckResult:
    """The result for a training. With fewer samples than were selected, it is another experiment."""
    names = {"rows": "trained", "dropped_rows": "dropped", "truncated_rows": "cut"}
    counted = {shown: manifest[name] for name, shown in names.items() if name in manifest}
    return TRAINED_SAMPLES.result(not counted.get("dropped"), counted)


def template_result(templates: Mapping[str, str]) -> dg.AssetCheckResult:
    """The result for the text templates of an experiment.

    Args:
        templates: template and settings of the text, by partition.

    Raises:
        PlatformError: they differ, so the benchmarks' results would mean nothing.
    """
    hashes = sorted(set(templates.values()))
    if len(hashes) > 1:
        listed = "; ".join(f"{name}: {template}" for name, template in sorted(templates.items()))
        raise PlatformError(f"different text templates; run `selection-platform refresh` for this experiment: {listed}")
    return TEMPLATE.result(True, {"template": "; ".join(hashes), "partitions": len(templates)})
