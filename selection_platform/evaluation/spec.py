"""What an evaluation job is asked to do. Importable without torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from selection_platform.job.versions import Computation

OFFLINE_PREFIX = "offline_"
"""Tasks so named are ours (`tasks/`), on items from data packages; all other names are lm-eval's own, on hub data."""


def computations(tasks: Iterable[str]) -> tuple[Computation, ...]:
    """What an evaluation on tasks of these names is made by: how lm-eval's own are run is no matter of ours."""
    return ("evaluation",) if all(task.startswith(OFFLINE_PREFIX) for task in tasks) else ("evaluation", "stock_tasks")


@dataclass(frozen=True)
class BenchmarkSpec:
    """One benchmark.

    Attributes:
        name: the platform's name for it. Those in `results.SCORING` have a metric chosen; any other benchmark is scored
            by the first metric that its task lists.
        task: name of an lm-eval task or group.
        shots: worked examples in the prompt; None is the task's own number.
        limit: items of each (sub)task; None is all. The items taken are those whose content hash comes first, a sample
            that depends on neither the model nor the order of the file.
        max_new_tokens: longest answer in tokens; None is the task's own.
    """

    name: str
    task: str
    shots: int | None = None
    limit: int | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class EvaluationSpec:
    """One model on all benchmarks.

    Attributes:
        model_folder: a model that `models.loading.load_model` reads.
        data_folder: what `benchmark_data.prepare` has written; used by offline tasks only.
        benchmarks: what is measured.
        held_out: pool -> Parquet file (sample_id, messages) whose answers' loss is measured.
        run_generated_code: "never" leaves HumanEval out.
        dtype: of the weights.
        batch_size: prompts generated for at once.
        tokens_per_batch: size of a batch of the held-out loss, padding included.
        max_length: longest held-out conversation, in tokens.
        seed: of what tasks draw, such as worked examples.
    """

    model_folder: str
    data_folder: str
    benchmarks: tuple[BenchmarkSpec, ...]
    held_out: Mapping[str, str] = field(default_factory=dict)
    run_generated_code: Literal["never", "sandboxed"] = "never"
    dtype: str = "bfloat16"
    batch_size: int = 8
    tokens_per_batch: int = 8192
    max_length: int = 4096
    seed: int = 0
