"""Makes the outcome of an item in lm-eval's tasks independent of everything before it.

A task may draw at random for its items (the order of choices), its prompts (the worked examples) and its scores
(IFEval's language detection, and missing arguments of an item). lm-eval seeds its random streams once. So the outcome
of an item would depend on all items before it, and on earlier models if the task stays in memory.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import langdetect
import numpy as np
import torch
from datasets import disable_caching, enable_caching
from lm_eval.api.task import Task

from selection_platform.evaluation.items import item_hash
from selection_platform.job.folder import content_hash


def make_repeatable(task: Task, seed: int) -> None:
    """Make every item's content, prompt and score depend only on the task, the item and the seed.

    Args:
        task: a task from lm-eval with its number of shots; it is changed in place.
        seed: seed of the worked examples, and of all other random draws.
    """
    _keep_items(task, seed)
    make_prompt, score = task.fewshot_context, task.process_results

    def prompt_of_item(doc: Any, *arguments: Any, **options: Any) -> Any:
        task.set_fewshot_seed(_start_streams(seed, item_hash(dict(doc))))
        return make_prompt(doc, *arguments, **options)

    def score_of_item(doc: Any, results: Any) -> Any:
        _start_streams(seed, item_hash(dict(doc)))
        return score(doc, results)

    task.fewshot_context = prompt_of_item
    task.process_results = score_of_item


def _keep_items(task: Any, seed: int) -> None:
    """Create the items and the worked examples once: lm-eval would draw them again at each access."""
    with _without_dataset_cache():
        _restart(seed, task.task_name)
        items = task.eval_docs
        if task.get_config("num_fewshot"):
            task.sampler.replace_df(list(task.fewshot_docs()))
    setattr(task, "test_docs" if task.has_test_docs() else "validation_docs", lambda: items)


@contextmanager
def _without_dataset_cache() -> Iterator[None]:
    """Keep `datasets` from reading the draws of an earlier process from this machine's disk."""
    disable_caching()
    try:
        yield
    finally:
        enable_caching()


def _restart(seed: int, task_name: str) -> None:
    """Seed the random streams that all tasks share, and those of the modules of lm-eval's tasks."""
    start = _start_streams(seed, task_name)
    for name, module in list(sys.modules.items()):
        if name.startswith("lm_eval.tasks."):
            for stream in vars(module).values():
                if isinstance(stream, random.Random):
                    stream.seed(start)


def _start_streams(seed: int, key: str) -> int:
    """Seed every random stream that a task can draw from with a seed for the key. Returns that seed."""
    start = int(content_hash([seed, key])[:8], 16)
    random.seed(start)
    np.random.seed(start)  # noqa: NPY002 (tasks draw from it)
    # Not torch.manual_seed: without a GPU it notes its whole stack at each call, which takes longer than most prompts.
    torch.default_generator.manual_seed(start)
    # langdetect has a stream for each text, which this seeds.
    langdetect.DetectorFactory.seed = 0
    return start
