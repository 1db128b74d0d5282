import random

import pytest

from selection_platform.pools.near_duplicates import NearDuplicates

WORDS = [f"word{number}" for number in range(3000)]


def runs(words):
    return {tuple(words[start : start + 5]) for start in range(len(words) - 4)}


def similarity(one, other):
    """The definition: what both have, of what either has."""
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


@pytest.mark.parametrize(("changed", "is_unlike"), [(1, False), (2, False), (40, True)])
def test_few_changed_words_and_many(changed, is_unlike):
    words = random.Random(0).sample(WORDS, 400)
    other = list(words)
    for place in range(5, 400, 400 // changed):
        other[place] = "changed"
    assert (similarity(words, other) < 0.8) == is_unlike
    assert NearDuplicates(0.8).first_of_each([[" ".join(words)], [" ".join(other)]]) == [True, is_unlike]


def test_case_punctuation_and_the_border_between_messages_do_not_matter():
    found = NearDuplicates(0.99).first_of_each(
        [["How is it?", "It is fine, thanks."], ["how is IT it", "is fine thanks"]]
    )
    assert found == [True, False]


def test_short_texts_are_the_same_only_with_the_same_words():
    assert NearDuplicates(0.5).first_of_each([["Hi"], ["Hi there"], ["hi!"], ["?"], ["!"]]) == [
        True, True, False, True, False,
    ]  # fmt: skip


def test_batches_are_compared_with_earlier_ones():
    texts = [[" ".join(random.Random(number).sample(WORDS, 50))] for number in range(6)]
    index = NearDuplicates(0.8)
    assert [index.first_of_each(texts[:4]), index.first_of_each(texts[2:])] == [
        [True] * 4,
        [False, False, True, True],
    ]


def test_agrees_with_the_definition_but_near_the_threshold():
    numbers = random.Random(1)
    for _ in range(60):
        words = numbers.sample(WORDS, 300)
        other = [word if numbers.random() > 0.05 else "other" for word in words]
        other = other[: numbers.randint(150, 300)]
        exact = similarity(words, other)
        if abs(exact - 0.5) > 0.2:
            unlike = NearDuplicates(0.5).first_of_each([[" ".join(words)], [" ".join(other)]])[1]
            assert unlike == (exact < 0.5)
