"""How much a benchmark asks of a model, roughly: what is not known before its items are read."""

import math
from pathlib import Path
from typing import NamedTuple

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.errors import PlatformError
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN
from selection_platform.evaluation.benchmark_data import read_rows


class BenchmarkSize(NamedTuple):
    """A benchmark in numbers.

    Attributes:
        items: all of them.
        tasks: parts that `limit` counts separately.
        question: tokens of an item without worked examples.
        shot: tokens of a worked example.
        new: longest answer in tokens; 0 where the likelihoods of letters are compared.
    """

    items: int
    tasks: int
    question: int
    shot: int
    new: int


_SIZES = {
    # The packaged MMLU is one task, and BBH-rebuilt has 24 subsets.
    "offline_mmlu": BenchmarkSize(14_042, 1, 130, 130, 0),
    "offline_bbh_direct": BenchmarkSize(6_000, 24, 150, 100, 32),
    "offline_bbh": BenchmarkSize(6_000, 24, 150, 250, 1024),
    "mmlu": BenchmarkSize(14_042, 57, 130, 130, 0),
    "bbh": BenchmarkSize(6_511, 27, 150, 250, 1024),
    "gsm8k": BenchmarkSize(1_319, 1, 70, 140, 512),
    "humaneval": BenchmarkSize(164, 1, 180, 180, 512),
    "ifeval": BenchmarkSize(541, 1, 60, 60, 1280),
}
"""By a part of the task's name. Items and longest answers are those of the published sets and tasks; tokens are about
those of Qwen2's tokenizer."""
_OTHER = BenchmarkSize(1_000, 1, 150, 150, 256)


def known(task: str) -> bool:
    """Whether a task's size is more than a guess."""
    return any(part in task for part in _SIZES)


def size_of(settings: BenchmarkSettings) -> BenchmarkSize:
    """A benchmark's size under its settings: `question` has the worked examples too."""
    size = next((size for part, size in _SIZES.items() if part in settings.task), _OTHER)
    if settings.rule is not None and settings.path is not None:
        size = _of_prompts(settings.path)
    items = size.items if settings.limit is None else min(size.items, settings.limit * size.tasks)
    shots = settings.shots or 0
    # Where letters are compared, nothing is decoded, whatever the limit.
    new = settings.max_new_tokens or size.new if size.new else 0
    return size._replace(items=items, question=size.question + shots * size.shot, new=new)


def _of_prompts(path: Path) -> BenchmarkSize:
    """A file of prompts, a line each; a guess where it cannot be read. What is wrong with it, a run says."""
    try:
        rows = [row for row in read_rows(path) if isinstance(row, dict)]
    except (OSError, ValueError, PlatformError):
        return _OTHER
    if not rows:
        return _OTHER
    characters = sum(len(str(row.get("prompt"))) for row in rows)
    return _OTHER._replace(items=len(rows), question=math.ceil(characters / len(rows) / CHARACTERS_PER_TOKEN))
