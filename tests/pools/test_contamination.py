import random
import re

from hypothesis import given
from hypothesis import strategies as st

from selection_platform.pools.contamination import WORDS, ContaminationFilter, split_words
from selection_platform.text.conversation import Message

ITEM = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


def found(text, item=ITEM):
    return ContaminationFilter([item]).overlaps([Message("user", "x"), Message("assistant", text)])


def test_thirteen_words_in_a_row_and_not_twelve():
    words = [word.decode() for word in split_words(ITEM)]
    assert found("before " + " ".join(words[2:15]) + " after")
    assert not found("before " + " ".join(words[2:14]) + " after")


def test_case_and_punctuation_do_not_matter():
    assert found("NATALIA -- sold clips\n to (48) of her friends; in April and then she: sold")


def test_a_run_does_not_cross_messages():
    words = ITEM.split()
    halves = [Message("user", " ".join(words[:10])), Message("assistant", " ".join(words[10:]))]
    assert not ContaminationFilter([ITEM]).overlaps(halves)


def test_texts_too_short_to_be_found_match_nothing():
    assert not found("only a few words", "only a few words")


@given(st.text() | st.text(st.characters(max_codepoint=127)))
def test_words_are_runs_of_letters_digits_and_underscores(text):
    assert [word.decode() for word in split_words(text)] == re.findall(r"\w+", text.lower())


def shares_run(one, other):
    """The definition, without anchors or hashes."""
    runs = [one[start : start + WORDS] for start in range(len(one) - WORDS + 1)]
    return any(other[start : start + WORDS] in runs for start in range(len(other) - WORDS + 1))


@given(st.randoms(use_true_random=False), st.integers(0, 25), st.integers(0, 25), st.integers(5, 30))
def test_agrees_with_the_definition(random_numbers: random.Random, before, start, length):
    item = [random_numbers.choice("abc") for _ in range(30)]
    row = [random_numbers.choice("abc") for _ in range(before)] + item[start : start + length]
    row += [random_numbers.choice("abc") for _ in range(5)]
    assert found(" ".join(row), " ".join(item)) == shares_run(item, row)
