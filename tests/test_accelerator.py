"""What no machine without a GPU would notice: tensors of two devices that meet, and a CPU that waits for the other."""

import json
import os
import subprocess
import sys

import pytest

from tests.jobs_on_accelerator import FAULTS, NAMES

pytestmark = pytest.mark.slow  # another process has to import torch

MOST_WAITS = {
    "answer_likelihood": 7, "sample_embedding": 2, "rating_probability": 2, "sentence_embedding": 2,
    "gradient_influence": 3, "held_out_loss": 5, "evaluation": 4, "k_center": 4,
}  # fmt: skip
"""For each batch: of rows, of new tokens, or of picks."""


def run(tmp_path, *fault: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.jobs_on_accelerator", str(tmp_path), *fault]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def test_every_job_but_training_runs_on_an_accelerator_and_seldom_waits_for_it(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    facts = {each["job"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert tuple(facts) == NAMES
    assert {name: each["difference"] for name, each in facts.items() if each["difference"] > 1e-5} == {}
    often = {
        name: each for name, each in facts.items() if sum(each["waits"].values()) > MOST_WAITS[name] * each["batches"]
    }
    assert often == {}
    assert all(":" in line for each in facts.values() for line in each["waits"])


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "wait in a loop"])
def test_a_tensor_on_the_wrong_device_is_noticed_with_its_line(fault, tmp_path):
    done = run(tmp_path, fault)
    assert done.returncode == 1
    assert "MixedDevices: models/forward_pass.py:" in done.stderr


def test_a_wait_for_each_row_is_noticed(tmp_path):
    done = run(tmp_path, "wait in a loop")
    (facts,) = map(json.loads, done.stdout.splitlines())
    assert sum(facts["waits"].values()) > MOST_WAITS["answer_likelihood"] * facts["batches"]
