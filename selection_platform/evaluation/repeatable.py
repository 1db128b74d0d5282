"""lm-eval's tasks, made to treat an item alike whatever was done before it.

A task may draw at random where it makes its items (the order of choices), its prompts (the worked examples) and its
scores (IFEval's language detection, and arguments that an item leaves open). lm-eval seeds its streams once, so an
item's outcome depends on all items before it, and with a task that is kept in memory on the models before this one.
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
    """Let every item's content, prompt and score depend on nothing but the task, the item and the seed.

    Args:
        task: as lm-eval loaded it, with its number of shots set; it is changed in place.
        seed: of the choice of worked examples, and of all else that is drawn.
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
    """Make the items and the worked examples once: lm-eval makes them again, and draws again, at each look at them."""
    with _made_here():
        _restart(seed, task.task_name)
        items = task.eval_docs
        if task.get_config("num_fewshot"):
            task.sampler.replace_df(list(task.fewshot_docs()))
    setattr(task, "test_docs" if task.has_test_docs() else "validation_docs", lambda: items)


@contextmanager
def _made_here() -> Iterator[None]:
    """Keep datasets from reading what an earlier process, on this machine alone, has drawn and left on the disk."""
    disable_caching()
    try:
        yield
    finally:
        enable_caching()


def _restart(seed: int, task_name: str) -> None:
    """Start the streams that all tasks share, and those that the modules of lm-eval's tasks keep for themselves."""
    start = _start_streams(seed, task_name)
    for name, module in list(sys.modules.items()):
        if name.startswith("lm_eval.tasks."):
            for stream in vars(module).values():
                if isinstance(stream, random.Random):
                    stream.seed(start)


def _start_streams(seed: int, key: str) -> int:
    """Start every stream that a task can draw from at a place of the key's own; gives the place."""
    start = int(content_hash([seed, key])[:8], 16)
    random.seed(start)
    np.random.seed(start)  # noqa: NPY002 (tasks draw from it)
    # Not torch.manual_seed: without a GPU it notes its whole stack at each call, which takes longer than most prompts.
    torch.default_generator.manual_seed(start)
    # It has a stream for each text, which this starts.
    langdetect.DetectorFactory.seed = 0
    return start
