"""HumanEval's check of one answer (Chen et al. 2021, arXiv 2107.03374): whether the problem's hidden tests pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from selection_platform.evaluation.sandbox import run_python


def assemble(problem: Mapping[str, Any], completion: str) -> str:
    """A program that completes if and only if the completed function passes the problem's tests."""
    return f"{problem['prompt']}{completion}\n{problem['test']}\ncheck({problem['entry_point']})\n"


def check_program(problem: Mapping[str, Any], completions: Sequence[str]) -> dict[str, float]:
    """1.0 or 0.0 for one greedy completion. lm-eval calls it by the name in `tasks/humaneval.yaml`.

    Raises:
        SandboxUnavailable: programs cannot be contained on this machine.
    """
    return {"pass@1": float(run_python(assemble(problem, completions[0])).completed)}
