"""Where texts are cut: by hand, and against slow, plain code."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection_platform.text.cutting import cut_prompt, kept_in_scoring, kept_in_training

TURNS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=5)


def shown(text: str, max_length: int, keep_first: int = 0) -> str:
    """What stays of a conversation whose answers are written in capitals, by the shared rule."""
    is_answer = np.array([letter.isupper() for letter in text])
    kept = kept_in_training(is_answer, max_length, "shared", keep_first)
    return "".join(letter for letter, stays in zip(text, kept, strict=True) if stays)


@pytest.mark.parametrize(
    ("text", "max_length", "expected"),
    [
        # All of it fits.
        ("abcDEF", 6, "abcDEF"),
        # 6 tokens of 8 + 4: the answer's third is 2 of them.
        ("abcdefghIJKL", 6, "abcdIJ"),
        # The answer's share is rounded down: 7 x 4 / 12 is 2 and a third.
        ("abcdefghIJKL", 7, "abcdeIJ"),
        # A share below one token is one token.
        ("abcdefghij" * 5 + "K", 4, "abcK"),
        ("abcdefghIJKL", 1, "I"),
        # The first turn is whole and takes 5; the second shares 4 in proportion 4 : 4; the third has no room.
        ("abcDEefghIJKLmN", 9, "abcDEefIJ"),
        # Nothing is left behind a turn that ends at the limit.
        ("abcDEfgH", 5, "abcDE"),
        # One token is left for the second turn: one of its answer.
        ("abcDEfgHIJ", 6, "abcDEH"),
        # What stands behind the last answer that is learnt has no share to give.
        ("abCDefgh", 6, "abCDef"),
        # Nothing is learnt at all.
        ("abcdef", 4, "abcd"),
    ],
)
def test_a_turn_that_does_not_fit_is_shared_in_proportion(text: str, max_length: int, expected: str):
    assert shown(text, max_length) == expected


def test_first_tokens_stay_and_an_answers_token_too():
    # Its share would be 3 of 4.
    assert shown("abCDEFGH", 4) == "aCDE"
    assert shown("abCDEFGH", 4, keep_first=2) == "abCD"
    assert shown("abCDEFGH", 2, keep_first=2) == "aC"
    # Of the first turn alone.
    assert shown("aBcdEFGH", 5, keep_first=2) == "aBcEF"


def plainly(turns: list[tuple[int, int]], cutoff: int) -> list[tuple[int, int]]:
    """Tokens of each turn's source and target that stay, as the rule reads: one turn after another, in fractions."""
    kept: list[tuple[int, int]] = []
    for source, target in turns:
        used = sum(map(sum, kept))
        if used >= cutoff:
            break
        most_target = max(floor(Fraction(target, source + target) * (cutoff - used)), 1)
        most_source = cutoff - used - min(most_target, target)
        kept.append((min(source, most_source), min(target, most_target)))
    return kept


@given(TURNS, st.integers(1, 120))
def test_the_shared_rule_is_what_plain_code_gives(turns: list[tuple[int, int]], cutoff: int):
    is_answer = np.concatenate([[False] * source + [True] * target for source, target in turns])
    kept = kept_in_training(is_answer, cutoff, "shared")
    expected: list[bool] = []
    whole = plainly(turns, cutoff)
    for (source, target), (kept_source, kept_target) in zip(turns, whole + [(0, 0)] * len(turns), strict=False):
        expected += [place < kept_source for place in range(source)] + [place < kept_target for place in range(target)]
    assert kept.tolist() == expected
    assert kept.sum() == min(cutoff, len(is_answer))
    assert is_answer[kept].any()


def test_the_tail_goes_whatever_stands_in_it():
    assert kept_in_training(np.array([False, False, True]), 2, "tail").tolist() == [True, True, False]
    assert kept_in_training(np.array([False, True]), 5, "tail").tolist() == [True, True]


def kept(prompt: int, answer: int, max_length: int, cut, **first_and_last: int) -> tuple[int, int]:
    counts = kept_in_scoring(np.array([prompt]), np.array([answer]), max_length, cut, **first_and_last)
    return int(counts[0][0]), int(counts[1][0])


@pytest.mark.parametrize(
    ("prompt", "answer", "start", "end"),
    [
        (6, 4, (6, 4), (6, 4)),
        # The answer is whole; or whole is what stands first.
        (8, 4, (6, 4), (8, 2)),
        (50, 4, (6, 4), (10, 0)),
        # An answer that leaves room for the cue is whole, a longer one is cut behind it.
        (50, 8, (2, 8), (10, 0)),
        (50, 9, (2, 8), (10, 0)),
        (6, 90, (2, 8), (6, 4)),
        # A prompt that is shorter than the cue.
        (1, 90, (1, 9), (1, 9)),
        (50, 0, (10, 0), (10, 0)),
    ],
)
def test_a_sample_is_cut_at_the_prompts_start_or_at_its_end(prompt, answer, start, end):
    assert kept(prompt, answer, 10, "prompt_start", keep_last=2) == start
    assert kept(prompt, answer, 10, "answer_end", keep_last=2) == end


def test_first_and_last_tokens_of_a_prompt_stay():
    assert kept(50, 90, 10, "prompt_start", keep_first=1, keep_last=3) == (4, 6)
    # In the smallest window a token of the answer stays all the same.
    assert kept(50, 90, 2, "prompt_start", keep_first=1, keep_last=3) == (1, 1)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 30), st.integers(0, 2), st.integers(0, 4))
def test_no_window_is_exceeded_and_none_has_room_for_what_was_cut(prompt, answer, max_length, first, last):
    for cut in ("prompt_start", "answer_end"):
        one, other = kept(prompt, answer, max_length, cut, keep_first=first, keep_last=last)
        assert 0 <= one <= prompt
        assert 0 <= other <= answer
        assert one + other == min(prompt + answer, max_length)
    assert kept(prompt, answer, max_length, "prompt_start", keep_first=first, keep_last=last)[1] > 0 or not answer


def test_a_prompt_loses_its_start_behind_the_tokens_that_stay():
    ids = [1, 2, 3, 4, 5]
    assert cut_prompt(ids, 3, "prompt_start") == [3, 4, 5]
    assert cut_prompt(ids, 3, "prompt_start", keep_first=1) == [1, 4, 5]
    assert cut_prompt(ids, 1, "prompt_start", keep_first=2) == [1]
    assert cut_prompt(ids, 0, "prompt_start") == []
    assert cut_prompt(ids, 5, "prompt_start", keep_first=1) == ids
    assert cut_prompt(ids, 3, "answer_end", keep_first=1) == [1, 2, 3]
