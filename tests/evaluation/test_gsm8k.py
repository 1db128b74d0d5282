"""How GSM8K's answers are read, on answers as chat models write them. `right` is what a person would say."""

from fractions import Fraction

import pytest

from selection_platform.evaluation.gsm8k import check_number, final_number, last_number, strict_match
from selection_platform.evaluation.numbers_in_text import numbers

ANSWERS = [
    # reference, answer, right
    ("18", "She sells 16 - 3 - 4 = 9 eggs a day. She makes 9 * 2 = 18 dollars. The answer is 18.", True),
    ("18", "Janet makes 9 x $2 = $<<9*2=18>>18 every day.\n#### 18", True),
    ("18", "Therefore, Janet makes $18.00 every day at the farmers' market.", True),
    ("18", "The answer is $18.", True),
    ("18", "The answer is 18", True),
    ("18", "So she makes $18 per day. Let me know if you need help with step 1!", True),
    ("18", "**Answer:** 18 dollars", True),
    ("18", "### Final Answer\n\nThe final answer is: $\\boxed{18}$", True),
    ("18", "\\[ 9 \\times 2 = \\boxed{18 \\text{ dollars}} \\]\n\nThis is for 1 day only.", True),
    ("18", "Janet makes **$18** every day, as she sells 9 eggs at $2.", True),
    ("18", "$18\n\nExplanation: she sells 16 - 3 - 4 = 9 eggs at $2 each.", True),
    ("18", "18 dollars.", True),
    ("18", "The answer is eighteen.", True),
    ("18", "The answer is 18 (16 - 3 - 4 = 9 eggs at $2 each).", True),
    ("18", "Answer: 9 * 2 = 18", True),
    ("18", "To find the answer: take 3 and 4 from 16, which leaves 9. So she makes 9 * 2 = 18.", True),
    ("18", "#### Step 1. Count the eggs: 16 - 3 - 4 = 9\n#### Step 2. Multiply\n9 * 2 = 18", True),
    ("18", "The answer is 18.\n\nQ: A robe takes 2 bolts of blue fiber. How many in total?\nA: The answer is 3.", True),
    ("18", "The answer is 17. Wait, that is wrong. The correct answer is 18.", True),
    ("18", "She makes $18 a day.\n\nI hope this helps! Feel free to ask about question 2.", True),
    ("70000", "He made a profit of $70,000.", True),
    ("70000", "His profit is 70 thousand dollars.", True),
    ("1200000", "The answer is 1.2 million.", True),
    ("1319", "The answer is 1{,}319.", True),
    ("25", "So 25% of the students are left. The answer is 25%.", True),
    ("3", "It takes 2 + 1 = 3 bolts in total", True),
    ("-5", "The temperature is \u22125 degrees.", True),
    ("-5", "The answer is -$5.00", True),
    ("0.5", "The answer is \\frac{1}{2}.", True),
    ("2.5", "The answer is 2 1/2 hours.", True),
    ("29", "The total cost is $29.00.", True),
    ("18", "The answer is 17.", False),
    ("18", "She makes 18 dollars on Monday and 18 on Tuesday. The answer is 36.", False),
    ("18", "The answer is not 18.", False),
    ("18", "I do not know.", False),
    ("18", "", False),
    ("18", "The answer is 180.", False),
    ("18", "The answer is 1.8", False),
    ("18", "16 - 3 - 4 = 9 eggs, and 9 * 2 is", False),
    ("18", "#### 17\nThere were 18 eggs.", False),
    ("5", "The answer is -5.", False),
    ("3", "Step 1: 2 bolts of blue.\nStep 2: half of it is 1 bolt of white.\nStep 3: add them.", False),
    (
        "18",
        "Janet has 16 eggs. She eats 3 and bakes with 4, which leaves 16 - 3 - 4 = 9 eggs. At $2 per egg "
        "she earns 9 x $2 = $18.",
        True,
    ),
    ("18", "**Final Answer: $18 per day**", True),
    ("18", "Total earnings: 9 eggs * $2/egg = $18/day", True),
    ("18", "So, Janet makes 9*2 = <<9*2=18>>18 dollars at the farmers' market daily.", True),
    ("18", "Answer: Janet earns $18 every day from selling 9 eggs.", True),
    ("18", "Thus Janet will make a total of $18 every day by selling the remaining 9 eggs for $2 each.", True),
    (
        "18",
        "Sure! Let's break it down step by step.\n\n1. Eggs laid: 16\n2. Eaten: 3\n3. Baked: 4\n4. Left: 9\n"
        "\nEarnings = 9 x 2 = 18 dollars\n\nSo the answer is: **18**",
        True,
    ),
    ("18", "### Step 3: Calculate\n9 * 2 = 18\n\nJanet makes **18 dollars** daily.", True),
    ("18", "Janet makes 18 dollars.\n\nNote: this assumes that she sells all 9 eggs.", True),
    ("18", "I think the answer is 18 but I am not sure, it may be 20.", True),
    ("540", "He runs 3*3=9 sprints a week. So he runs 9*60=540 meters", True),
    ("540", "He runs a total of 540 meters a week, which is 0.54 km.", True),
    ("20", "Wendi needs to give her chickens 60 - 40 = 20 cups of feed in the final meal.\n\n$$\\boxed{20}$$", True),
    ("64", "Kylar needs to pay $40 + $24 = $64 for the 16 glasses.", True),
    ("64", "The total comes to 64$.", True),
    ("160", "It takes Carla 40+20+100=160 minutes (2 hours and 40 minutes).", True),
    ("45", "John is 45 miles from home at the end of the 4 hours.", True),
    ("460", "Eliza's earnings: $400 + $60 = $460. The correct answer is $460.", True),
    ("366", "So in total: 60 + 180 + 126 = 366 downloads over the three months.", True),
    ("8", "Answer = 8", True),
    ("18", "16 - 3 = 13. She sells 13 eggs for $26.", False),
    ("18", "The answer is 9 eggs.", False),
    ("18", "Janet has 18 eggs. The answer is 36.", False),
    ("3", "The answer is 2 bolts of blue and 1 bolt of white, 4 in all.", False),
]


def score(reference, answer):
    return check_number({"answer": f"Some steps.\n#### {reference}"}, [answer])


@pytest.mark.parametrize(("reference", "answer", "right"), ANSWERS)
def test_an_answer_is_read_as_a_person_reads_it(reference, answer, right):
    assert score(reference, answer)["equal_number"] == right


def test_how_often_the_published_rules_read_them_so():
    counts = {
        name: sum(rule(answer, reference) == right for reference, answer, right in ANSWERS)
        for name, rule in {"strict": strict_match, "last": last_number}.items()
    }
    assert counts == {"strict": 19, "last": 37}


@pytest.mark.parametrize(
    ("answer", "found"),
    [("no idea", 0.0), ("", 0.0), ("Perhaps 7.", 1.0), ("The answer is seven.", 1.0), ("The answer is not 7.", 0.0)],
)
def test_whether_an_answer_was_found_counts_beside(answer, found):
    assert score("9", answer)["answer_found"] == found


def test_the_strict_rule_is_lm_evals_with_its_quirk():
    """Its pattern wants one more character behind the number, so that it loses the last digit of a text."""
    assert strict_match("The answer is 18.", "18")
    assert not strict_match("The answer is 18", "18")
    assert strict_match("The answer is $18.\nThe answer is 18.", "18")
    assert not strict_match("Q: again? The answer is 18.", "18")


def test_a_model_that_repeats_itself_has_no_answer():
    assert score("9", "9" * 10_000) == {"equal_number": 0, "strict_match": 0, "last_number": 0, "answer_found": 0}


def test_numbers_are_exact():
    assert numbers("1,234.50 and .5 and 1e3 and 3/4 and -7 and 16-3 and $-2") == [
        Fraction("1234.5"), Fraction("0.5"), 1000, Fraction(3, 4), -7, 16, 3, -2,
    ]  # fmt: skip
    assert final_number("1/3 is the answer: 1/3") == Fraction(1, 3)
