"""What an evaluation job is asked to do. Importable without torch."""

from collections.abc import Mapping
from typing import Annotated

from selection_platform.configuration.base import SPEED
from selection_platform.configuration.settings import EvaluationSettings
from selection_platform.job.spec import PATH, FilePath, JobText, Spec

OFFLINE_PREFIX = "offline_"
"""Tasks so named are ours (`tasks/`), on items from data packages; all other names are lm-eval's own, on hub data."""

CODE_TASK = f"{OFFLINE_PREFIX}humaneval"
"""The one task that runs what the model wrote."""


def computations(evaluation: EvaluationSettings) -> tuple[str, ...]:
    """What makes the results: how lm-eval's own tasks and generated code are run counts only where there are any."""
    benchmarks = evaluation.benchmarks.values()
    tasks = [benchmark.task for benchmark in benchmarks]
    # Of files, those without a rule are lm-eval's task files.
    stock = any(each.rule is None and not each.task.startswith(OFFLINE_PREFIX) for each in benchmarks)
    code = ("generated_code",) if CODE_TASK in tasks and evaluation.run_generated_code == "sandboxed" else ()
    return ("evaluation", *(("stock_tasks",) if stock else ()), *code)


class EvaluationSpec(Spec):
    """One model on all benchmarks.

    Attributes:
        model_folder: a model that `models.loading.load_model` reads.
        data_folder: what `benchmark_data.prepare` has written; used by offline tasks only.
        evaluation: what is measured. A benchmark is scored by the first metric that its task lists; of lm-eval's own
            tasks, those in `results.SCORING` have another one chosen. With a `limit`, the items whose content hash
            comes first are taken: a sample that depends on neither the model nor the order of the file.
        files: benchmark -> file, of those that are files of the user's own.
        held_out: pool -> Parquet file (sample_id, messages) whose answers' loss is measured.
        dtype: of the weights.
        text: how conversations become text.
        tokens_per_batch: size of a batch of the held-out loss, padding included.
        max_length: longest held-out conversation, in tokens.
        seed: of what tasks draw, such as worked examples.
    """

    model_folder: FilePath
    data_folder: FilePath
    evaluation: EvaluationSettings
    files: Annotated[Mapping[str, str], PATH]
    held_out: Annotated[Mapping[str, str], PATH]
    dtype: str
    text: JobText
    tokens_per_batch: Annotated[int, SPEED]
    max_length: int
    seed: int = 0
