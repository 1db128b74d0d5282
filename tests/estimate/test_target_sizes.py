"""What is assumed of targets, against the examples themselves."""

import pytest

from selection_platform.configuration.target_settings import TargetSettings
from selection_platform.estimate.lengths import CHARACTERS_PER_TOKEN
from selection_platform.estimate.target_sizes import given_targets, groups_of
from selection_platform.evaluation.worked_examples import WORKED_EXAMPLES, worked_examples


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", WORKED_EXAMPLES)
def test_worked_examples_are_as_many_and_as_long(benchmark):
    groups = worked_examples(benchmark)
    samples = [sample for group in groups.values() for sample in group]
    settings = TargetSettings(benchmarks=(benchmark,))
    found = given_targets(settings)
    assert (groups_of(settings), len(found)) == (len(groups), len(samples))
    characters = sum(len(message.content) for sample in samples for message in sample)
    assert (found.prompt + found.answer).sum() == pytest.approx(characters / CHARACTERS_PER_TOKEN, rel=0.05)


def test_several_benchmarks():
    settings = TargetSettings(benchmarks=("gsm8k", "mmlu"))
    assert (groups_of(settings), len(given_targets(settings))) == (58, 289)
