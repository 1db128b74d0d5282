"""The script for the first time on a GPU: it runs where only jobs run, and its exit status says what happened."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import gpu_first_run

NOT_ON_NODES = (
    "dagster", "duckdb", "polars", "lm_eval", "datasets", "sklearn", "scipy", "matplotlib", "nltk", "rensa",
    "starlette", "uvicorn", "argcomplete", "gguf", "graphql",
)  # fmt: skip
PROGRAM = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({NOT_ON_NODES}))
runpy.run_module("benchmarks.gpu_first_run", run_name="__main__")
"""


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gpu_first_run", *arguments])
    # It sets variables that other tests should not see.
    monkeypatch.setattr(gpu_first_run, "prepare", lambda **_: None)
    return gpu_first_run.main()


@pytest.mark.slow
def test_it_runs_where_only_jobs_run():
    command = [sys.executable, "-c", PROGRAM, "--tiny", "--only", "matrix_rate,another_batching"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines() if " | " in line]
    assert [line[-1] for line in lines] == ["not judged", "ok"]


def test_what_is_not_installed_is_named_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(gpu_first_run, "NEEDED", ("numpy", "orjsen", "jinjer2"))
    assert run(monkeypatch) == 2
    assert capsys.readouterr().err == "Not installed: orjsen, jinjer2; pip install orjsen jinjer2\n"


@pytest.mark.slow  # it imports torch
@pytest.mark.parametrize(
    ("verdict", "status", "end"), [(True, 0, "ok"), (None, 0, "not judged"), (False, 1, "LOOK"), ("error", 1, "LOOK")]
)
def test_the_exit_status_is_that_of_the_worst_line_and_an_error_ends_its_check_alone(
    verdict, status, end, monkeypatch, capsys
):
    from benchmarks.gpu_check import Line

    def first(_):
        if verdict == "error":
            raise RuntimeError("out of memory")
        yield Line("first", "1", "2", verdict)

    def second(_):
        yield Line("second", "1", "1", True)

    monkeypatch.setattr(gpu_first_run, "checks", lambda: {"first": first, "second": second})
    assert run(monkeypatch, "--tiny") == status
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if " | " in line]
    assert [line.split(" | ")[-1] for line in lines] == [end, "ok"]
    assert ("out of memory" in err) == (verdict == "error")


@pytest.mark.slow  # it imports torch
def test_an_unknown_check_is_refused_with_the_names_that_there_are(monkeypatch, capsys):
    assert run(monkeypatch, "--tiny", "--only", "logits,speed") == 2
    assert capsys.readouterr().err.startswith("--only: no check speed; there are matrix_rate, same_numbers, ")


@pytest.mark.slow  # it imports torch
@pytest.mark.parametrize(
    ("lists", "single", "expected"),
    [
        ([[1.0, 2.0], [4.0]], [8.0, None], 0.0),
        ([[1.0, 2.0], [5.0]], [7.0, None], 0.25),
        ([[1, 2, 4]], [8.0, 0.0], np.inf),
    ],
)
def test_the_largest_difference_is_a_share_of_the_columns_largest_number(lists, single, expected, tmp_path):
    from benchmarks.gpu_jobs import largest_difference

    for name, values in (("one", ([[1.0, 2.0], [4.0]], [8.0, None])), ("other", (lists, single))):
        (tmp_path / name).mkdir()
        for file, column in zip(("apart-00000", "part-00000"), values, strict=True):
            table = pa.table({"sample_id": ["a"] * len(column), file: column})
            pq.write_table(table, tmp_path / name / f"{file}.parquet")
    assert largest_difference(tmp_path / "one", tmp_path / "other") == expected
