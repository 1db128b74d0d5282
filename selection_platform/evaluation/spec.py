"""The spec of an evaluation job. This module can be imported without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from selection_platform.configuration.base import SPEED
from selection_platform.configuration.evaluation_settings import BenchmarkSettings, EvaluationSettings
from selection_platform.errors import PlatformError
from selection_platform.job.spec import PATH, FilePath, JobText, Spec
from selection_platform.job.versions import logits_in
from selection_platform.models.files import states_longrope

OFFLINE_PREFIX = "offline_"
"""Prefix of our own tasks (`tasks/`), on items from data packages. Other names are lm-eval's tasks, on hub data."""

CODE_TASK = f"{OFFLINE_PREFIX}humaneval"
"""The only task that runs generated code."""

NO_LONGROPE = (
    "evaluation.engine: the model's positions are of the kind longrope, which has frequencies for short and for long "
    "texts, and vLLM uses others than transformers; write `engine: transformers`"
)

CHOICE_TASK = f"{OFFLINE_PREFIX}mmlu"
"""The only one of our tasks whose answers are chosen by their likelihoods, and not written."""


def left_in(evaluation: EvaluationSettings) -> dict[str, BenchmarkSettings]:
    """The benchmarks that a model answers: all but those that run generated code where none may run."""
    runs_code = evaluation.run_generated_code == "sandboxed"
    return {name: each for name, each in evaluation.benchmarks.items() if each.task != CODE_TASK or runs_code}


def answers_with_vllm(evaluation: EvaluationSettings) -> bool:
    """Whether vLLM answers: where no benchmark is left it is never started."""
    return evaluation.engine == "vllm" and bool(left_in(evaluation))


def check_engine(evaluation: EvaluationSettings, folder: Path) -> None:
    """Check, as soon as a model's configuration is there, that the engine computes as transformers does.

    Raises:
        PlatformError: vLLM is to answer, and the model in the folder has LongRoPE.
    """
    if answers_with_vllm(evaluation) and states_longrope(folder):
        raise PlatformError(NO_LONGROPE)


def computations(evaluation: EvaluationSettings) -> tuple[str, ...]:
    """The computations of the results. Those of lm-eval's tasks, generated code and vLLM count if they are used."""
    benchmarks = evaluation.benchmarks.values()
    tasks = [benchmark.task for benchmark in benchmarks]
    stock = any(map(is_stock, benchmarks))
    code = ("generated_code",) if CODE_TASK in tasks and evaluation.run_generated_code == "sandboxed" else ()
    engine = ("vllm_engine",) if answers_with_vllm(evaluation) else ()
    return ("evaluation", *(("stock_tasks",) if stock else ()), *code, *engine)


def logits_read(evaluation: EvaluationSettings, dtype: str, *, held_out: bool) -> dict[str, int]:
    """What results are known by in addition where they come from logits: `logits_in`, else nothing.

    These are the held-out loss, and the choices that transformers makes. A task of lm-eval counts as one with choices.

    Args:
        evaluation: the benchmarks.
        dtype: number type of the weights.
        held_out: whether there is a held-out loss.
    """
    choices = any(is_stock(each) or each.task == CHOICE_TASK for each in evaluation.benchmarks.values())
    return logits_in(dtype) if held_out or (choices and evaluation.engine == "transformers") else {}


def is_stock(benchmark: BenchmarkSettings) -> bool:
    """Whether lm-eval loads it: a task of its own, or a task file of the user's."""
    # Of files, those without a rule are task files.
    return benchmark.rule is None and not benchmark.task.startswith(OFFLINE_PREFIX)


class EvaluationSpec(Spec):
    """One model on all benchmarks.

    Attributes:
        model_folder: a model that `models.loading.load_model` reads.
        data_folder: the folder from `benchmark_data.prepare`, for offline tasks.
        evaluation: the benchmarks. A benchmark is scored by the first metric of its task; `results.SCORING` has another
            one for some of lm-eval's own tasks. With a `limit`, the items with the first content hashes are used: a
            sample that depends neither on the model nor on the order of the file.
        files: by benchmark, its file, for those that are files of the user's own.
        datasets: by benchmark, the folder from `fetch_datasets.fetch`, for those whose tasks read the hub.
        held_out: by pool, a Parquet file (sample_id, messages) of conversations for the held-out loss.
        dtype: number type of the weights.
        text: how conversations become text.
        tokens_per_batch: size of a batch of the held-out loss, including padding.
        max_length: longest held-out conversation, in tokens.
        seed: seed of random draws in tasks, such as worked examples.
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
    datasets: Annotated[Mapping[str, str], PATH] = {}
