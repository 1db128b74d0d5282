"""Where a text that is longer than a model's window is cut: numbers of tokens alone, whatever the template.

Training, `shared`: the rule of LLaMA-Factory at tag v0.8.2 (`infer_max_len` in src/llamafactory/data/data_utils.py and
`_make_pairs` in template.py), with which the paper trained (arXiv 2410.09335). A conversation is a list of turns, each
a source (what is read) and a target (an answer that is learnt, with its end-of-sequence token). The turns get what is
left of the limit, one after another. The one that does not fit shares it between its source and its target in
proportion to their lengths, target rounded down but at least one token; both lose their ends. Later turns are left out.

So a conversation never loses all it is trained on. Versions 0.8.3 and later of LLaMA-Factory prefer one side of a turn
over the other, and can leave a target without a token.

Two differences, of one token at most: ours divides whole numbers, while theirs multiplies by a rounded fraction, which
can cost the target one token more where the quotient is whole, even in a turn that just fits; and answers that are
marked as not trained on, which theirs does not know, are part of a source.
"""

import numpy as np
from numpy.typing import NDArray

from selection_platform.text.cuts import ScoringCut, TrainingCut

Counts = NDArray[np.int64]


def kept_in_training(
    is_answer: NDArray[np.bool_], max_length: int, cut: TrainingCut, keep_first: int = 0
) -> NDArray[np.bool_]:
    """Which tokens of a conversation it is trained with, shape (tokens,).

    Args:
        is_answer: whether each token is learnt, shape (tokens,).
        max_length: most tokens to keep, at least 1.
        cut: `shared`: as this module says. `tail`: all beyond the limit goes.
        keep_first: tokens at the start that stay whatever the shares are, such as one for the beginning of the
            sequence. One token of the answer still stays.
    """
    if len(is_answer) <= max_length or cut == "tail":
        return np.arange(len(is_answer)) < max_length
    kept = np.zeros(len(is_answer), dtype=np.bool_)
    room = max_length
    for start, source, target in _turns(is_answer):
        kept_source, kept_target = _shared(source, target, room, keep_first if start == 0 else 0)
        kept[start : start + kept_source] = True
        kept[start + source : start + source + kept_target] = True
        room -= kept_source + kept_target
        if room == 0:
            break
    return kept


def _turns(is_answer: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Each turn's first token, and the numbers of tokens of its source and of its target. One may be 0."""
    starts = np.concatenate([[0], np.flatnonzero(is_answer[:-1] & ~is_answer[1:]) + 1])
    lengths = np.diff(starts, append=len(is_answer))
    targets = np.add.reduceat(is_answer, starts, dtype=np.int64)
    return list(zip(starts.tolist(), (lengths - targets).tolist(), targets.tolist(), strict=True))


def _shared(source: int, target: int, room: int, keep_first: int) -> tuple[int, int]:
    """Tokens of a turn's source and target that stay where there is room for so many, at least one."""
    if source + target <= room:
        return source, target
    if target == 0:
        return room, 0
    share = max(1, room * target // (source + target))
    share = min(share, max(1, room - keep_first))
    return room - share, share


def kept_in_scoring(
    prompt: Counts, answer: Counts, max_length: int, cut: ScoringCut, keep_first: int = 0, keep_last: Counts | int = 0
) -> tuple[Counts, Counts]:
    """Tokens of each sample's prompt and of its answer that are scored, shape (samples,).

    Args:
        prompt: tokens of each prompt, shape (samples,).
        answer: tokens of each answer, shape (samples,).
        max_length: most tokens of both, more than 1.
        cut: `prompt_start`: the answer is whole where it fits beside the prompt's first `keep_first` and last
            `keep_last` tokens, and what is too much goes from the prompt behind its first ones (`cut_prompt`). An
            answer that is longer loses its end, and keeps those tokens before it: without any, its first token has no
            likelihood. `answer_end`: the whole is cut at its end, as the paper's scripts do, so that an answer behind a
            prompt that fills the window has no token left.
        keep_first: tokens at a prompt's start that stay, such as one for the beginning of the sequence.
        keep_last: tokens at a prompt's end that stay: the cue that an answer follows.
    """
    if cut == "answer_end":
        kept_prompt = np.minimum(prompt, max_length)
        return kept_prompt, np.minimum(answer, max_length - kept_prompt)
    # At least one token of the answer, in however small a window.
    reserved = np.minimum(np.minimum(prompt, keep_first + keep_last), max_length - 1)
    kept_answer = np.minimum(answer, max_length - reserved)
    return np.minimum(prompt, max_length - kept_answer), kept_answer


def cut_prompt(ids: list[int], kept: int, cut: ScoringCut, keep_first: int = 0) -> list[int]:
    """The tokens of a prompt that stay, where so many do."""
    if kept >= len(ids) or cut == "answer_end":
        return ids[:kept]
    head = min(keep_first, kept)
    return ids[:head] + ids[len(ids) - (kept - head) :]
