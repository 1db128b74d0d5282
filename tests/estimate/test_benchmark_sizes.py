"""What a benchmark asks of a model under its settings."""

import json

import pytest

from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.estimate.benchmark_sizes import size_of


@pytest.mark.parametrize(("given", "new"), [(None, 512), (8, 8), (2048, 2048)])
def test_the_longest_answer_is_what_the_profile_says(given, new):
    assert size_of(BenchmarkSettings(task="offline_gsm8k", max_new_tokens=given)).new == new


def test_letters_are_compared_whatever_the_limit():
    assert size_of(BenchmarkSettings(task="offline_mmlu", max_new_tokens=64)).new == 0


def test_a_file_of_prompts_has_its_lines(tmp_path):
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps({"prompt": "x" * 42, "reference": "4"}) + "\n" for _ in range(3)))
    settings = BenchmarkSettings(file=str(file), rule="number")
    assert size_of(settings)[:3] == (3, 1, 10)
    assert size_of(settings.model_copy(update={"limit": 2})).items == 2
    file.write_bytes(b"\xff")
    assert size_of(settings).items == 1_000
