"""A benchmark without `limit` is announced where it takes a minute a model, or where nobody knows how long it takes."""

from types import SimpleNamespace
from typing import cast

import dagster as dg

from orchestration.graph import Step
from orchestration.long_benchmarks import long_benchmarks
from orchestration.workspace import Workspace
from selection_platform.configuration.evaluation_settings import BenchmarkSettings
from selection_platform.job.folder import write_manifest


@dg.asset
def benchmark_result(): ...


def announced(tmp_path, *measured, limit=None, models=2):
    for index, facts in enumerate(measured):
        write_manifest(tmp_path / str(index), {"benchmarks": {"gsm8k": {"task": "offline_gsm8k", **facts}}})
    benchmarks = {"gsm8k": BenchmarkSettings(task="offline_gsm8k", limit=limit)}
    workspace = SimpleNamespace(
        profile=SimpleNamespace(
            evaluation=SimpleNamespace(benchmarks=benchmarks), trained_experiments=dict.fromkeys("0123")
        ),
        resources=SimpleNamespace(artifacts=SimpleNamespace(benchmark_result=lambda key: tmp_path / key)),
    )
    found = long_benchmarks(cast(Workspace, workspace), [Step(benchmark_result, str(index)) for index in range(models)])
    return list(found)


def test_what_took_a_minute_a_model_or_was_never_measured(tmp_path):
    (line,) = announced(tmp_path)
    assert "so 2 models answer all of its items, in an unknown time per model" in line
    (line,) = announced(tmp_path, {"limit": None, "seconds": 600}, {"limit": None, "seconds": 30})
    assert "so 2 models answer all of its items, in about 10 min per model" in line


def test_what_is_limited_or_quick_or_not_due_is_not_announced(tmp_path):
    assert announced(tmp_path, limit=5) == []
    assert announced(tmp_path, models=0) == []
    assert announced(tmp_path, {"limit": None, "seconds": 59}) == []


def test_the_time_with_a_limit_says_nothing_of_the_time_without(tmp_path):
    (line,) = announced(tmp_path, {"limit": 5, "seconds": 3})
    assert "unknown time" in line
