"""Where texts that are longer than a model's window are cut, in numbers of tokens, independent of the template.

Training, `shared`: the rule of LLaMA-Factory at tag v0.8.2 (`infer_max_len` in src/llamafactory/data/data_utils.py and
`_make_pairs` in template.py), with which the paper trained (arXiv 2410.09335). A conversation is a list of turns, each
with a source (which is read) and a target (an answer that is trained on, with its end-of-sequence token). The turns use
up the limit one after another. The turn that does not fit shares the rest between its source and its target in
proportion to their lengths, with the target rounded down but at least one token; both lose their ends. Later turns are
left out.

So a conversation always keeps a target token. Versions 0.8.3 and later of LLaMA-Factory prefer one side of a turn, and
can leave a target without a token.

There are two differences. This module divides integers, while LLaMA-Factory multiplies by a rounded fraction, which can
cost the target one more token if the quotient is whole, even in a turn that just fits. And answers that are marked as
not trained on, which LLaMA-Factory does not have, are part of a source.
"""

import numpy as np
from numpy.typing import NDArray

from selection_platform.text.cuts import ScoringCut, TrainingCut

Counts = NDArray[np.int64]


def kept_in_training(
    is_answer: NDArray[np.bool_], max_length: int, cut: TrainingCut, keep_first: int = 0
) -> NDArray[np.bool_]:
    """Which tokens of a conversation are kept in training, shape (tokens,).

    Args:
        is_answer: whether each token is trained on, shape (tokens,).
        max_length: most tokens to keep, at least 1.
        cut: `shared`: as described in this module. `tail`: everything beyond the limit is cut.
        keep_first: tokens at the start that are always kept, such as the beginning-of-sequence token. One token of the
            answer is kept too.
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
    """For each turn: its first token, and the numbers of tokens in its source and target, of which one may be 0."""
    starts = np.concatenate([[0], np.flatnonzero(is_answer[:-1] & ~is_answer[1:]) + 1])
    lengths = np.diff(starts, append=len(is_answer))
    targets = np.add.reduceat(is_answer, starts, dtype=np.int64)
    return list(zip(starts.tolist(), (lengths - targets).tolist(), targets.tolist(), strict=True))


def _shared(source: int, target: int, room: int, keep_first: int) -> tuple[int, int]:
    """How many tokens of a turn's source and target are kept if there is room for `room` tokens, at least one."""
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
    """How many tokens of each sample's prompt and answer are kept in scoring, each with shape (samples,).

    Args:
        prompt: tokens of each prompt, shape (samples,).
        answer: tokens of each answer, shape (samples,).
        max_length: most tokens of both, more than 1.
        cut: `prompt_start`: the answer stays whole if it fits together with the prompt's first `keep_first` and last
            `keep_last` tokens, and the excess is removed from the prompt after its first tokens (`cut_prompt`). A
            longer answer loses its end and keeps those prompt tokens, because its first token needs some context.
            `answer_end`: the sample is cut at its end, as in the paper's scripts, so that no answer token is left after
            a prompt that fills the window.
        keep_first: tokens at a prompt's start that are kept, such as the beginning-of-sequence token.
        keep_last: tokens at a prompt's end that are kept: the cue before an answer.
    """
    if cut == "answer_end":
        kept_prompt = np.minimum(prompt, max_length)
        return kept_prompt, np.minimum(answer, max_length - kept_prompt)
    # At least one token of the answer, even in the smallest window.
    reserved = np.minimum(np.minimum(prompt, keep_first + keep_last), max_length - 1)
    kept_answer = np.minimum(answer, max_length - reserved)
    return np.minimum(prompt, max_length - kept_answer), kept_answer


def cut_prompt(ids: list[int], kept: int, cut: ScoringCut, keep_first: int = 0) -> list[int]:
    """The `kept` tokens of a prompt that are kept."""
    if kept >= len(ids) or cut == "answer_end":
        return ids[:kept]
    head = min(keep_first, kept)
    return ids[:head] + ids[len(ids) - (kept - head) :]
