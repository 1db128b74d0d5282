"""IFEval's check of one response (Zhou et al. 2023, arXiv 2311.07911): lm-eval's checker, offline and repeatable."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from selection_platform.data_packages import INSTALL, MissingPackage, packaged_file
from selection_platform.evaluation.benchmark_data import MissingData

_PUNKT_TAB = "tokenizers/punkt_tab"
_LANGUAGE = ("language", "change_case")
_FORMAT = ("detectable_format", "startend", "punctuation", "combination")
"""Groups of lm-eval's instructions; the others are about words, lengths and content."""
_PUNKT = "llama_index/core/_static/nltk_cache"


def check_response(item: Mapping[str, Any], responses: Sequence[str]) -> dict[str, float]:
    """The verdict on one response; lm-eval calls it by the name in `tasks/ifeval.yaml`.

    Returns:
        Each 1.0 or 0.0. `prompt_level_strict_acc`, `prompt_level_loose_acc`: whether it follows all instructions of
        the prompt, strictly and loosely. `language_followed`, `format_followed`: whether it strictly follows those
        about language and case, and those about form; 1.0 where there are none. `answer_found`: whether there is any
        response.
    """
    # The checker draws missing arguments of an item from the global random stream.
    random.seed(0)
    verdict = _checker()(item, responses)
    followed = list(zip(item["instruction_id_list"], verdict["inst_level_strict_acc"], strict=True))
    return {
        **{name: float(verdict[name]) for name in ("prompt_level_strict_acc", "prompt_level_loose_acc")},
        "answer_found": float(bool(responses[0].strip())),
        "language_followed": _all_of(followed, _LANGUAGE),
        "format_followed": _all_of(followed, _FORMAT),
    }


def _all_of(followed: Sequence[tuple[str, bool]], groups: tuple[str, ...]) -> float:
    return float(all(each for name, each in followed if name.partition(":")[0] in groups))


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
            f"IFEval needs NLTK's punkt_tab; run: {INSTALL}, or: python -m nltk.downloader punkt_tab"
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
        return packaged_file("llama-index-core", _PUNKT)
    except MissingPackage:
        return None
