"""Asset checks: what must hold of a partition, and what is worth a look. They come with every materialisation.

Dagster stops what is downstream of a failed blocking check within the same run alone. So what must hold is raised
inside the asset too, before anything is committed, and its check shows the numbers. A failed check that is not blocking
is a warning and stops nothing.

Each check costs about 0.03 s, which Dagster takes to record it: facts that belong together are one check.
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

# Partitions of checks are a preview in 1.13; without them a check would tell of the partition made last alone.
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
        blocking: whether it must hold; if not, it warns.
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
        """What came of it. `asset` is needed where one computation gives several."""
        return dg.AssetCheckResult(
            check_name=self.name,
            asset_key=asset,
            passed=passed,
            metadata=numbers,
            severity=dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN,
        )


UP_TO_DATE = Check(
    "up_to_date",
    "It would come out the same now. Where it would not, what changed stands here, as in `selection-platform status`.",
)
SEPARATION = Check("separation", "No sample is both to select from and held out.", blocking=True)
SIZE = Check("size", "No setting takes more samples than there are to select from.", blocking=True)
COMPLETENESS = Check("completeness", "Each sample of the pool has all its rows, and no other has any.", blocking=True)
TRUNCATION = Check(
    "truncation", f"At most {MOST_TRUNCATED:.0%} of the samples have a prompt that the window cuts, or such an answer."
)
FINITENESS = Check("finiteness", "There are scores, none of them NaN or infinite.", blocking=True)
SPREAD = Check(
    "spread",
    "Scores differ by more than rounding. Where they do not, samples are picked by id: any draw would do.",
)
COVERAGE = Check(
    "coverage",
    f"At most {MOST_UNSCORED:.0%} of the rows have no score. Methods that score their picks alone always pass.",
)
LENGTH_CORRELATION = Check(
    "length_correlation",
    f"Spearman's correlation of the scores with the characters of the last answers is at most "
    f"{STRONGEST_LENGTH_CORRELATION} either way. Beyond it, the method picks by length; `token_length` does by design.",
)
BUDGET = Check("budget", "As many samples are selected as are wanted.", blocking=True)
IDS = Check("ids", "No id is selected twice, all are in the pool, and they are in rank order.", blocking=True)
FINAL_LOSS = Check("final_loss", "The loss at the end of the training is a number.", blocking=True)
TRAINED_SAMPLES = Check("trained_samples", "Every selected sample was trained on. A sample that is cut still counts.")
TEMPLATE = Check("template", "Scores, training and evaluation rendered text with the same template.", blocking=True)

POOL_CHECKS = (SEPARATION, SIZE)
SCORE_CHECKS = (FINITENESS, SPREAD, COVERAGE, LENGTH_CORRELATION)
SELECTION_CHECKS = (BUDGET, IDS)


def specs(
    checks: Sequence[Check], partitions: dg.PartitionsDefinition[str] | None, *asset: str
) -> list[dg.AssetCheckSpec]:
    """The checks as parts of the definition of the asset with this key, and the one that every asset has."""
    return [check.spec(asset, partitions) for check in (*checks, UP_TO_DATE)]


def separation_verifier(pool: str, files: Sequence[Path]) -> Verifier:
    """Raises where a pool's shards, about to be written to the warehouse, have a sample on both sides."""

    def verify(connection: duckdb.DuckDBPyConnection) -> None:
        with plain_paths() as plain:
            values = {"files": [plain(file) for file in files]}
            ((shared,),) = connection.execute(load_sql("10_pools/on_both_sides"), values).fetchall()
        if shared:
            raise PlatformError(
                f"pool {pool!r}: {shared:,} samples are both to select from and held out; a fault of the platform"
            )

    return verify


def separation_result() -> dg.AssetCheckResult:
    """Of a pool that `separation_verifier` let through."""
    return SEPARATION.result(True, {"samples on both sides": 0})


def size_result(samples: int, needs: Mapping[str, int]) -> dg.AssetCheckResult:
    """Whether a pool is large enough.

    Args:
        samples: that can be selected.
        needs: how many each setting takes.
    """
    return SIZE.result(all(need <= samples for need in needs.values()), {"samples": samples, **needs})


_CUT = "cut prompts", "cut answers"


class Completeness:
    """Whether each sample of the pool has all its rows in a partition of features, and no other has any."""

    def __init__(self, table: str, partition: Mapping[str, str], rows_each: int = 1) -> None:
        """Takes the table, the columns and values that name the partition, and the rows that each sample must have."""
        self._table, self._partition, self._rows_each = table, partition, rows_each
        self._counted: dict[str, int] = {}

    def verify(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Count, before the rows are committed.

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
                f"{self._rows_each} rows each, and {strange:,} samples that are not in the pool have some; "
                "materialise the pool and then these features again"
            )
        self._counted = counted

    def truncation_result(self, asset: str | None = None) -> dg.AssetCheckResult:
        """Of the samples that the table says are cut. `asset` is needed where one computation gives several."""
        cut_prompts, cut_answers = (self._counted[name] for name in _CUT)
        return truncation_result(cut_prompts, cut_answers, self._counted["samples of the pool"], asset)

    def result(self, asset: str | None = None) -> dg.AssetCheckResult:
        """Of rows that `verify` let through. `asset` is needed where one computation gives several."""
        shown = {name: count for name, count in self._counted.items() if name not in _CUT}
        return COMPLETENESS.result(True, {**shown, "rows for each": self._rows_each}, asset)


def truncation_result(
    cut_prompts: int, cut_answers: int, samples: int, asset: str | None = None
) -> dg.AssetCheckResult:
    """Of how many samples a window cuts the prompt, and of how many the answer."""
    share = max(cut_prompts, cut_answers) / samples if samples else 0.0
    numbers = {**dict(zip(_CUT, (cut_prompts, cut_answers), strict=True)), "share": share}
    return TRUNCATION.result(share <= MOST_TRUNCATED, numbers, asset)


def score_results(
    summary: Facts, correlation: float | None, compared: int, *, picks_alone: bool
) -> list[dg.AssetCheckResult]:
    """Of scores that are finite.

    Args:
        summary: by `sql/40_scores/summary.sql`.
        correlation: with the answers' length; None where scores or lengths do not differ.
        compared: the rows that it is over.
        picks_alone: whether the method scores what it picks, and nothing else.
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
    """Of a selection that was let through, by what was counted in it."""
    size = {name: facts[name] for name in ("selected", "wanted")}
    return [
        BUDGET.result(size["selected"] == size["wanted"], size),
        IDS.result(True, {name: count for name, count in facts.items() if name not in size}),
    ]


def final_loss_result(manifest: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Of a model. The training itself raises at the first loss that is no number, and then leaves no manifest."""
    loss = manifest.get("final_loss")
    # A model that others trained states none.
    return FINAL_LOSS.result(loss is None or math.isfinite(loss), {} if loss is None else {"nats per token": loss})


def trained_samples_result(manifest: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Of a training: fewer samples than were selected are not the experiment that was asked for."""
    names = {"rows": "trained", "dropped_rows": "dropped", "truncated_rows": "cut"}
    counted = {shown: manifest[name] for name, shown in names.items() if name in manifest}
    return TRAINED_SAMPLES.result(not counted.get("dropped"), counted)


def template_result(templates: Mapping[str, str]) -> dg.AssetCheckResult:
    """Of the text that an experiment was made with.

    Args:
        templates: template and settings of the text, by the partition that was made with them.

    Raises:
        PlatformError: they differ, and so the benchmarks' numbers would say nothing.
    """
    hashes = sorted(set(templates.values()))
    if len(hashes) > 1:
        made = "; ".join(f"{name}: {template}" for name, template in sorted(templates.items()))
        raise PlatformError(f"different text templates; run `selection-platform refresh` for this experiment: {made}")
    return TEMPLATE.result(True, {"template": "; ".join(hashes), "partitions": len(templates)})
