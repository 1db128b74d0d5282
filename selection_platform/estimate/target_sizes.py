"""How many targets a target set has, and how long they are, before they are drawn."""

from typing import NamedTuple

import numpy as np

from selection_platform.configuration.target_settings import TargetSettings
from selection_platform.estimate.known_sizes import guessed_lengths
from selection_platform.estimate.lengths import Lengths, assumed


class _Worked(NamedTuple):
    """The worked examples of a benchmark: groups, samples, and mean tokens of a sample and of its answer."""

    groups: int
    samples: int
    tokens: int
    answer: int


_WORKED = {"gsm8k": _Worked(1, 8, 62, 31), "bbh": _Worked(27, 81, 205, 129), "mmlu": _Worked(57, 281, 175, 77)}
"""Of lm-eval's task files; tokens by their characters."""


def groups_of(settings: TargetSettings) -> int:
    """Groups of a target set. Examples of a pool's settings count as one, as their sources are not read yet."""
    return sum(_WORKED[name].groups for name in settings.benchmarks) if settings.benchmarks else 1


def given_targets(settings: TargetSettings) -> Lengths:
    """Lengths of examples that a profile names, or of benchmarks' worked examples."""
    if settings.examples is not None:
        return guessed_lengths(settings.examples)
    worked = [_WORKED[name] for name in settings.benchmarks or ()]
    parts = [assumed(each.samples, each.tokens, each.answer, "") for each in worked]
    prompt, answer = (np.concatenate([getattr(part, name) for part in parts]) for name in ("prompt", "answer"))
    return Lengths(prompt, answer, "assumed of worked examples", measured=False)
