"""HumanEval's check of one answer (Chen et al. 2021, arXiv 2107.03374): whether the problem's hidden tests pass.

Besides the code that is found in the answer (`code_in_answer`), the answer is run as it is, as for published numbers:
the text before the first stop of Open-Instruct's chat evaluation, behind the prompt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from selection_platform.evaluation.code_in_answer import whole_program
from selection_platform.evaluation.sandbox import run_python

STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
"""Open-Instruct's. The model goes on behind most of them here, since an answer may write the whole function again."""


def assemble(problem: Mapping[str, Any], code: str) -> str:
    """A program that completes if and only if the completed function passes the problem's tests."""
    return f"{code}\n{problem['test']}\ncheck({problem['entry_point']})\n"


def as_written(problem: Mapping[str, Any], answer: str) -> str:
    """The prompt, followed by the answer up to its first stop."""
    end = min((place for stop in STOPS if (place := answer.find(stop)) >= 0), default=len(answer))
    return f"{problem['prompt']}{answer[:end]}"


def check_program(problem: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """The check of one greedy answer. lm-eval calls it by the name in `tasks/humaneval.yaml`.

    Returns:
        Each 1.0 or 0.0. `pass@1`: of the code that is found. `pass@1_as_written`: of the answer as it is.
        `answer_found`: whether code was found at all.

    Raises:
        SandboxUnavailable: programs cannot be contained on this machine.
    """
    found = whole_program(problem["prompt"], answers[0], problem["entry_point"])
    written = as_written(problem, answers[0])
    return {
        "pass@1": float(found is not None and _passes(problem, found)),
        "pass@1_as_written": float(_passes(problem, written)),
        "answer_found": float(found is not None),
    }


def _passes(problem: Mapping[str, Any], code: str) -> bool:
    return run_python(assemble(problem, code)).completed
