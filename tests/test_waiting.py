"""Threads that wait for work leave the cores to others: set before torch is there, whichever way in."""

import os
import subprocess
import sys

import pytest

JOB = "selection_platform.job.__main__"
ENTRIES = (
    "selection_platform.cli.main", JOB,
    pytest.param("selection_platform.definitions", marks=pytest.mark.slow),  # Dagster with it
)  # fmt: skip
# Imports an entry, and then torch; prints what is set whenever torch is looked for.
PROGRAM = """
import importlib, os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"))
            raise ModuleNotFoundError(name="torch")
sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
try:
    import torch
except ModuleNotFoundError:
    pass
"""


def output_of(*command, policy=None, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | variables
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_lets_idle_threads_sleep_before_torch_is_imported(entry):
    assert set(output_of("-c", PROGRAM, entry).stdout.split()) == {"passive"}


def test_the_users_own_value_is_kept():
    assert set(output_of("-c", PROGRAM, JOB, policy="active").stdout.split()) == {"active"}


@pytest.mark.slow
def test_torchs_openmp_heeds_it():
    program = "import selection_platform.job.__main__, torch; torch.ones(8).sum()"
    settings = output_of("-c", program, OMP_DISPLAY_ENV="TRUE").stderr
    if "OMP_WAIT_POLICY" not in settings:
        pytest.skip("this torch has another OpenMP, which prints nothing")
    assert {line.split("=")[1].strip() for line in settings.splitlines() if "OMP_WAIT_POLICY" in line} == {"'PASSIVE'"}
