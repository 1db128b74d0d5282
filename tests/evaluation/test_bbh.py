"""How BBH's answers are read, on answers as chat models write them. `right` is what a person would say."""

import json

import pytest

from selection_platform.evaluation.bbh import check_direct, check_reasoned, final_answer
from selection_platform.evaluation.benchmark_data import BBH_FOLDER

SHAPES = {
    "input": "This SVG path element draws a\nOptions:\n(A) octagon\n(B) triangle\n(C) a red triangle\n(D) line",
    "target": "(B)",
}
CAUSE = {"input": "Did the red wire cause it?\nOptions:\n- Yes\n- No", "target": "No"}
FALLACY = {"input": "Is it valid or invalid?\nOptions:\n- valid \n- invalid", "target": "invalid"}
SPORTS = {"input": 'Is the following sentence plausible? "x"', "target": "yes"}
BOOLEAN = {"input": "not ( True ) and ( True ) is", "target": "False"}
COUNTING = {"input": "I have two lamps, and ten beds. How many objects do I have?", "target": "12"}
SORTING = {"input": "Sort the following words alphabetically: List: oven fly costume", "target": "costume fly oven"}
DYCK = {"input": "Complete the rest of the sequence. Input: { [ < >", "target": "] }"}

REASONED = [
    (SHAPES, "The path has three sides. So the answer is (B).", True),
    (SHAPES, "The path has three sides. So the answer is B.", True),
    (SHAPES, "So the answer is **(B) triangle**.", True),
    (SHAPES, "So the answer is triangle.", True),
    (SHAPES, "So the answer is option B.", True),
    (SHAPES, "**Answer: B) triangle**\n\nIt has 3 sides, unlike (A).", True),
    (SHAPES, "The path has three sides. It is not (A).\n\nTherefore, the correct option is (B).", True),
    (SHAPES, "It has three sides, so it is a triangle.", True),
    (SHAPES, "$\\boxed{\\text{B}}$", True),
    (SHAPES, "The answer is (B), not (A).", True),
    (SHAPES, "B\n\nThe path has three sides.", True),
    (SHAPES, "So the answer is a red triangle.", False),
    (SHAPES, "So the answer is (A).", False),
    (SHAPES, "A line. The answer is D", False),
    (SHAPES, "It could be an octagon or a triangle.", False),
    (SHAPES, "The path has", False),
    (CAUSE, "The black wire is never near it. So the answer is No.", True),
    (CAUSE, "So the answer is: no", True),
    (CAUSE, "No, a typical person would not say so.", True),
    (CAUSE, "So the answer is Yes.", False),
    (FALLACY, "The argument is not deductively valid. So the answer is invalid.", True),
    (FALLACY, "Therefore, the argument is not deductively valid.", True),
    (FALLACY, "The answer is **Invalid**.", True),
    (FALLACY, "Therefore the argument is deductively valid.", False),
    (SPORTS, "He plays football. So the answer is yes.", True),
    (SPORTS, "Yes, the sentence is plausible.", True),
    (SPORTS, "He plays football. So the sentence is plausible.", True),
    (SPORTS, "So the sentence is not plausible.", False),
    (BOOLEAN, "The answer is false", True),
    (BOOLEAN, "not ( True ) and ( True ) = False and True = False. So the answer is False.", True),
    (BOOLEAN, "So the expression is True.", False),
    (COUNTING, "2 + 10 = 12. So the answer is 12.", True),
    (COUNTING, "You have **12** objects in total.", True),
    (COUNTING, "You have twelve objects. The answer is twelve.", True),
    (COUNTING, "The answer is 11.", False),
    (SORTING, "So the answer is costume fly oven.", True),
    (SORTING, "Here are the words in order:\n\n1. costume\n2. fly\n3. oven", True),
    (SORTING, "The sorted list is: costume, fly, and oven.", True),
    (SORTING, "So the answer is costume oven fly.", False),
    (SORTING, "costume fly", False),
    (DYCK, "We need to pop out '[' and '{'. So the answer is ] }.", True),
    (DYCK, "The answer is `]}`", True),
    (DYCK, "The complete sequence is { [ < > ] }", True),
    (DYCK, "So the answer is ] ].", False),
    (SHAPES, "Based on the path, it's a triangle, so the answer is (B) triangle.", True),
    (SHAPES, "Answer: (B)", True),
    (SHAPES, "The correct answer is option (B).", True),
    (SHAPES, "I would choose B.", True),
    (SHAPES, "The shape is a triangle (option B).", True),
    (
        SHAPES,
        "Looking at each option:\n(A) octagon - needs 8 sides.\n(B) triangle - needs 3 sides.\n"
        "(C) a red triangle - no colour given.\n(D) line - no.\n\nThe path has 3 sides, so it draws a triangle.",
        True,
    ),
    (SHAPES, "The final answer is: $\\boxed{(B)}$.", True),
    (SHAPES, 'Therefore, the answer is "triangle".', True),
    (SHAPES, "So the answer is D) line.", False),
    (SHAPES, "(C)", False),
    (SHAPES, "The answer is either (A) or (D).", False),
    (CAUSE, "**No**", True),
    (CAUSE, 'A typical person would answer "No" to this question.', True),
    (CAUSE, "So the answer is Yes, the red wire caused it.", False),
    (FALLACY, "The argument is invalid because the conclusion does not follow.", True),
    (FALLACY, "So the answer is valid.", False),
    (SPORTS, "So the answer is yes", True),
    (SPORTS, "No, it is implausible.", False),
    (BOOLEAN, "= False and True = False", True),
    (BOOLEAN, "So the answer is **False**.", True),
    (COUNTING, "Lamps: 2\nBeds: 10\nTotal: 12", True),
    (COUNTING, "There are 12 objects (2 lamps and 10 beds).", True),
    (COUNTING, "The total number is 2 + 10 = 13.", False),
    (SORTING, "The words sorted alphabetically are:\n\ncostume, fly, oven", True),
    (SORTING, "1. costume\n2. fly\n3. oven\n\nThese are in alphabetical order.", True),
    (SORTING, "Sorted: costume fly oven", True),
    (SORTING, "So the answer is: fly, costume, oven", False),
    (DYCK, 'So, we need "]" and "}". So the answer is "] }".', True),
    (DYCK, "The missing brackets are ] }", True),
    (DYCK, "The answer is } ].", False),
]
DIRECT = [
    (SHAPES, "(B)", True),
    (SHAPES, " B", True),
    (SHAPES, "B.", True),
    (SHAPES, "**B**", True),
    (SHAPES, "(B) triangle", True),
    (SHAPES, "Triangle", True),
    (SHAPES, "Option B", True),
    (SHAPES, "The answer is (B).", True),
    (SHAPES, "A triangle", True),
    (SHAPES, "(A)", False),
    (SHAPES, "Both of them", False),
    (SHAPES, "", False),
    (CAUSE, "no.", True),
    (CAUSE, "No", True),
    (CAUSE, "Yes", False),
    (FALLACY, "Invalid", True),
    (FALLACY, "valid", False),
    (SPORTS, "Yes.", True),
    (BOOLEAN, "false", True),
    (COUNTING, "12 objects", True),
    (COUNTING, "twelve", True),
    (COUNTING, "2", False),
    (SORTING, "costume, fly, oven", True),
    (SORTING, "oven fly costume", False),
    (DYCK, "]}", True),
    (DYCK, "} ]", False),
]


@pytest.mark.parametrize(("item", "answer", "right"), REASONED)
def test_a_reasoned_answer_is_read_as_a_person_reads_it(item, answer, right):
    assert check_reasoned(item, [answer])["equal_answer"] == right


@pytest.mark.parametrize(("item", "answer", "right"), DIRECT)
def test_a_direct_answer_is_read_as_a_person_reads_it(item, answer, right):
    assert check_direct(item, [answer])["equal_answer"] == right


@pytest.mark.parametrize("said", ["isn't", "wasn't deductively", "isn\u2019t", "is not", "is never"])
def test_a_negated_word_is_its_opposite(said):
    assert check_reasoned(FALLACY, [f"The argument {said} valid."])["equal_answer"] == 1.0
    assert check_reasoned(FALLACY, [f"The argument {said} invalid."])["equal_answer"] == 0.0


def test_how_often_the_published_rules_read_them_so():
    reasoned = sum(check_reasoned(item, [answer])["strict_match"] == right for item, answer, right in REASONED)
    direct = sum(check_direct(item, [answer])["strict_match"] == right for item, answer, right in DIRECT)
    assert (reasoned, direct) == (30, 10)


def test_whether_an_answer_was_found_counts_beside():
    assert check_direct(SHAPES, ["Both of them"]) == {"equal_answer": 0.0, "strict_match": 0.0, "answer_found": 0.0}
    assert check_direct(SHAPES, ["(A)"])["answer_found"] == 1.0


@pytest.mark.parametrize("path", sorted(BBH_FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_target_is_read_as_itself(path):
    for line in path.read_text().split("\n")[:100]:
        if line:
            item = json.loads(line)
            for answer in (item["target"], f"Let me think.\n\nSo the answer is {item['target']}."):
                scores = check_reasoned(item, [answer])
                assert scores["equal_answer"] == 1.0, (item, answer, final_answer(item, answer))
