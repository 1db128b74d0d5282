"""Computes a benchmark's result and its standard error from its items, and defines the two tables of an evaluation.

This module can be imported without torch and lm-eval.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Scoring:
    """How a benchmark is scored.

    Attributes:
        metric: metric of one of lm-eval's own tasks; None for the first one of the task.
        filter: answer filter of one of lm-eval's own tasks; None for the first one of the task.
        also: more metrics of it to store.
        macro: whether to average over subtasks of any size, instead of over all items.
    """

    metric: str | None = None
    filter: str | None = None
    also: tuple[str, ...] = ()
    macro: bool = False


# What the paper measured (section 5, with Open-Instruct's conventions): exact match averaged over BBH's subsets, the
# last number for GSM8K, pass@1 of one greedy answer, accuracy over letters, and IFEval by prompt, strict.
SCORING: dict[str, Scoring] = {
    "bbh": Scoring("exact_match", "get-answer", macro=True),
    "gsm8k": Scoring("exact_match", "flexible-extract"),
    "humaneval": Scoring("pass@1"),
    "ifeval": Scoring("prompt_level_strict_acc", also=("prompt_level_loose_acc",)),
    "mmlu": Scoring("acc"),
}
"""By the benchmark's name. Our own tasks list their metrics, the primary first; for them, `macro` alone counts here."""

ANSWER_FOUND = "answer_found"
ENDED = "ended"
CARD = (ANSWER_FOUND, ENDED)
"""What is stored of each written answer beside its scores, 1.0 or 0.0: whether the scoring rule found an answer in it,
and whether the model ended it, before `max_new_tokens` cut it off."""


def scoring_of(benchmark: str, file: str | None) -> Scoring:
    """How a benchmark is scored. A file of the user's own lists its metrics itself, whatever name it has."""
    return Scoring() if file is not None else SCORING.get(benchmark, Scoring())


def metrics_of(scoring: Scoring, listed: Sequence[str], *, ours: bool) -> tuple[str, ...]:
    """The metrics of a task to store, the primary first.

    Args:
        scoring: of the benchmark.
        listed: all metrics that the task lists.
        ours: whether it is one of our tasks.
    """
    return tuple(listed) if ours else (scoring.metric or listed[0], *scoring.also)


@dataclass(frozen=True)
class Result:
    """One result.

    Attributes:
        benchmark: name of the benchmark.
        metric: name of the metric.
        value: value in [0, 1], or in bits per byte.
        stderr: standard error over items; None if there are too few.
        items: number of items.
        primary: whether it is the benchmark's primary metric.
        higher_is_better: whether larger values are better.
    """

    benchmark: str
    metric: str
    value: float
    stderr: float | None
    items: int
    primary: bool
    higher_is_better: bool


@dataclass(frozen=True)
class ItemResult:
    """One metric of one item.

    Attributes:
        benchmark: name of the benchmark.
        task: subtask, or pool for the held-out loss.
        item_id: hash of the item's content, followed by `#2` for the second item with the same content in a task.
        metric: name of the metric.
        correct: the item's value: 1 or 0 for right or wrong, bits per byte for the held-out loss.
        weight: the item's weight in the mean over items: 1, or the answer's bytes for the held-out loss.
        response: the model's answer or choice, in the row of the primary metric; None for the held-out loss.
    """

    benchmark: str
    task: str
    item_id: str
    metric: str
    correct: float
    weight: float
    response: str | None


RESULT_SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),
        "metric": pa.string(),
        "value": pa.float64(),
        "stderr": pa.float64(),
        "items": pa.int64(),
        "primary": pa.bool_(),
        "higher_is_better": pa.bool_(),
    }
)
ITEM_SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),
        "task": pa.string(),
        "item_id": pa.string(),
        "metric": pa.string(),
        "correct": pa.float64(),
        "weight": pa.float64(),
        "response": pa.string(),
    }
)


def mean_and_stderr(values: Mapping[str, Sequence[float]], macro: bool) -> tuple[float, float | None]:
    """The mean of per-item values and its standard error.

    Args:
        values: values of the items by subtask; no subtask is empty.
        macro: whether to take the mean of the subtasks' means with equal weights, instead of the mean of all items.

    Returns:
        The mean, and its standard error over draws of items within the subtasks; None if a mean has only one item.
    """
    groups = list(values.values()) if macro else [[value for group in values.values() for value in group]]
    mean = fmean(fmean(group) for group in groups)
    if min(map(len, groups)) < 2:
        return mean, None
    return mean, math.sqrt(sum(variance(group) / len(group) for group in groups)) / len(groups)


def summarise(
    items: Sequence[ItemResult], macro: bool, primary: str, higher_is_better: Mapping[str, bool]
) -> list[Result]:
    """One result for each metric of a benchmark's items, the primary one first."""
    by_metric: dict[str, dict[str, list[float]]] = {primary: {}}
    for item in items:
        by_metric.setdefault(item.metric, {}).setdefault(item.task, []).append(item.correct)
    results: list[Result] = []
    for metric, values in by_metric.items():
        mean, stderr = mean_and_stderr(values, macro)
        count = sum(map(len, values.values()))
        name = items[0].benchmark
        # The same metric under another of lm-eval's filters is named "metric,filter".
        higher = higher_is_better[metric.partition(",")[0]]
        results.append(Result(name, metric, mean, stderr, count, metric == primary, higher))
    return results


def numbered(item_id: str, seen: dict[str, int]) -> str:
    """The id, followed by `#2`, `#3`, ... if it was seen before. Counts it in `seen`."""
    seen[item_id] = seen.get(item_id, 0) + 1
    return item_id if seen[item_id] == 1 else f"{item_id}#{seen[item_id]}"


def as_records(rows: Sequence[Result] | Sequence[ItemResult]) -> list[dict[str, Any]]:
    """Rows as JSON objects, with fields in the order of the schema."""
    return [asdict(row) for row in rows]
