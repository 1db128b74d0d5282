"""The guide to adding a method, followed to the letter in a copy of the packages."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.data, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PACKAGES = ("selection_platform", "orchestration", "assets", "resources", "sql")
GUIDE = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")


def block(label):
    (text,) = re.findall(rf"^```\w+ {re.escape(label)}\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    return text


def insert_after(path, line_start, text):
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    (place,) = (index for index, line in enumerate(lines) if line.strip().startswith(line_start))
    path.write_text("".join([*lines[: place + 1], text, *lines[place + 1 :]]), encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    """The packages with the guide's three pieces in place, and a profile that has an arm for the new method."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    insert_after(tmp_path / "selection_platform" / "experiments" / "methods.py", 'Method("random"', block("methods.py"))
    insert_after(tmp_path / "assets" / "scores.py", "_random(profile, partitions),", block("scores.py"))
    (tmp_path / "sql" / "40_scores" / "shortest_answer.sql").write_text(block("shortest_answer.sql"))
    generator = random.Random(0)
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Write {generator.random()}"},
                {"role": "assistant", "content": "word " * generator.randint(2, 30)},
            ]
        }
        for _ in range(90)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pretraining = {
        "steps": 5, "vocab_size": 320, "hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2,
        "context": 256, "block_length": 32,
    }  # fmt: skip
    profile = {
        "description": "A test.",
        "dtype": "float32",
        "pools": {"words": {"source": {"files": "rows.jsonl"}, "base_model": 0.5}},
        "models": {"tiny": {"pretraining": pretraining}},
        "fine_tuning": {"epochs": 1, "global_batch": 4, "batch_per_device": 4, "max_length": 64},
        "evaluation": {"benchmarks": {"mmlu": {"task": "offline_mmlu", "limit": 2}}},
        "budgets": [5],
        "arms": {"shortest_answer": {}},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(profile))
    return tmp_path


def test_the_guides_method_runs_through_to_a_benchmark(project):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "selection_platform.cli.main", "--profile", "toy.yaml", *arguments],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(project), "SELECTION_PLATFORM_HOME": str(project / "home")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "| shortest_answer |" in run("run")
    statement = """
        SELECT pool.sample_id, length(pool.messages[-1].content) AS answer, selected."position"
        FROM pools.samples AS pool LEFT JOIN selections.samples AS selected USING (sample_id)
        ORDER BY selected."position" NULLS LAST, answer, pool.sample_id
    """
    rows = json.loads(run("sql", "--json", statement))
    assert [row["position"] for row in rows[:6]] == [1, 2, 3, 4, 5, None]
    assert rows == sorted(rows, key=lambda row: (row["answer"], row["sample_id"]))
    results = json.loads(run("sql", "--json", "SELECT experiment, benchmark FROM benchmarks.results"))
    assert results == [{"experiment": "shortest_answer/words/tiny/5/s0", "benchmark": "mmlu"}]
