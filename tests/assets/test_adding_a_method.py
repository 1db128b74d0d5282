"""The guide to adding a method, followed to the letter in a copy of the packages."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import yaml

from resources.warehouse import Warehouse
from selection_platform.models.loading import load_model
from selection_platform.text.conversation import Message, sample_id
from selection_platform.text.rendering import Tokenizer, tokenize_last_answer

pytestmark = [pytest.mark.data, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PACKAGES = ("selection_platform", "orchestration", "assets", "resources", "sql")
GUIDE = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")


def block(label):
    (text,) = re.findall(rf"^```\w+ {re.escape(label)}\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    return text


class Copy:
    """The packages in a folder, and which of their files were touched there."""

    def __init__(self, folder):
        self.folder = folder
        self.touched = set()
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, path, label):
        assert not (self.folder / path).exists()
        (self.folder / path).write_text(block(label), encoding="utf-8")
        self.touched.add(path)

    def insert(self, path, line_start, label, *, before=False):
        lines = (self.folder / path).read_text(encoding="utf-8").splitlines(keepends=True)
        (place,) = (index for index, line in enumerate(lines) if line.strip().startswith(line_start))
        lines.insert(place if before else place + 1, block(label))
        (self.folder / path).write_text("".join(lines), encoding="utf-8")
        self.touched.add(path)


def add_formula(copy):
    copy.insert("selection_platform/experiments/methods.py", 'Method("random"', "methods.py")
    copy.insert("assets/scores.py", "_random(profile, partitions),", "scores.py")
    copy.add("sql/40_scores/shortest_answer.sql", "shortest_answer.sql")


def add_pass(copy):
    copy.insert("selection_platform/experiments/methods.py", 'Method("random"', "pass/methods.py")
    settings = "selection_platform/configuration/method_settings.py"
    copy.insert(settings, "class MethodSettings(", "pass/method_settings.py class", before=True)
    copy.insert(settings, "zip: ZipScheduleSettings", "pass/method_settings.py line")
    copy.insert("selection_platform/job/versions.py", '"zip": Computation', "pass/versions.py")
    copy.add("selection_platform/methods/hidden_shift.py", "hidden_shift.py")
    copy.add("sql/01_schema/features.hidden_shift.sql", "features.hidden_shift.sql")
    copy.add("sql/40_scores/hidden_shift.sql", "hidden_shift.sql")
    copy.add("assets/methods/hidden_shift.py", "assets/hidden_shift.py")


@pytest.fixture
def project(tmp_path):
    """The packages in a copy, and a profile without arms."""
    copy = Copy(tmp_path)
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
    }
    return copy, profile


def command_line(copy, profile):
    """Runs commands of the copy, of the profile as it is at the time."""

    def run(*arguments):
        (copy.folder / "toy.yaml").write_text(yaml.safe_dump(profile))
        home = str(copy.folder / "home")
        done = subprocess.run(
            [sys.executable, "-m", "selection_platform.cli.main", "--profile", "toy.yaml", *arguments],
            cwd=copy.folder,
            env={**os.environ, "PYTHONPATH": str(copy.folder), "SELECTION_PLATFORM_HOME": home},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def query(copy, statement):
    """Rows of the copy's warehouse, read here: a command takes seconds to start."""
    return Warehouse(folder=str(copy.folder / "home" / "toy" / "warehouse")).query(statement).to_dicts()


def shifts(folder, tokens):
    """What the method's job measures, one sample at a time."""
    model, tokenizer = load_model(folder / "home/toy/artifacts/base_model/tiny", "float32")
    for line in (folder / "rows.jsonl").read_text().splitlines():
        messages = [Message(**each) for each in json.loads(line)["messages"]]
        last = tokenize_last_answer(messages, cast(Tokenizer, tokenizer))
        with torch.no_grad():
            ids = torch.tensor([last.prompt + last.answer])
            hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0].numpy()
        parts = hidden[: len(last.prompt)], hidden[len(last.prompt) :]
        before, after = (part[-1] if tokens == "last" else part.mean(axis=0) for part in parts)
        yield sample_id(messages), 1 - before @ after / np.linalg.norm(before) / np.linalg.norm(after)


def test_the_guides_formula_and_its_pass_run_through(project):
    """In one copy, as each command there takes seconds to start."""
    copy, profile = project
    add_formula(copy)
    assert len(copy.touched) == 3
    copy.touched.clear()
    add_pass(copy)
    assert len(copy.touched) <= 7
    profile["arms"] = {"shortest_answer": {}, "hidden_shift": {"train": False}}
    profile["scoring"] = {"max_length": 256, "tokens_per_batch": 512, "samples_per_shard": 10}
    run = command_line(copy, profile)
    assert "\nshortest_answer " in run("run")
    check_formula(copy)
    check_pass(copy, "all")
    # Its setting is noticed.
    profile["hidden_shift"] = {"tokens": "last"}
    assert "hidden_shift.tokens all -> last" in run("run")
    check_pass(copy, "last")


def check_formula(copy):
    statement = """
        SELECT pool.sample_id, length(pool.messages[-1].content) AS answer, selected."position"
        FROM pools.samples AS pool
        LEFT JOIN (FROM selections.samples WHERE starts_with(experiment, 'shortest_answer/')) AS selected
            USING (sample_id)
        ORDER BY selected."position" NULLS LAST, answer, pool.sample_id
    """
    rows = query(copy, statement)
    assert [row["position"] for row in rows[:6]] == [1, 2, 3, 4, 5, None]
    assert rows == sorted(rows, key=lambda row: (row["answer"], row["sample_id"]))
    results = query(copy, "SELECT experiment, benchmark FROM benchmarks.results")
    assert results == [{"experiment": "shortest_answer/words/tiny/5/s0", "benchmark": "mmlu"}]


def check_pass(copy, tokens):
    expected = dict(shifts(copy.folder, tokens))
    rows = query(copy, "SELECT sample_id, shift FROM features.hidden_shift")
    assert len(rows) > 30
    assert {row["sample_id"]: row["shift"] for row in rows} == {
        row["sample_id"]: pytest.approx(expected[row["sample_id"]], abs=1e-5) for row in rows
    }
    best = sorted(rows, key=lambda row: (-row["shift"], row["sample_id"]))[:5]
    of_method = "FROM selections.samples WHERE starts_with(experiment, 'hidden_shift/')"
    picked = query(copy, f'SELECT sample_id {of_method} ORDER BY "position"')
    assert [row["sample_id"] for row in picked] == [row["sample_id"] for row in best]
