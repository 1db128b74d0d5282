"""Runs a program inside the sandbox, in the program's own process.

`sandbox.py` runs this under bubblewrap, with only the standard library. Arguments: the file descriptor to report to,
the user to change to or -1, CPU seconds, memory bytes, output bytes. Standard input: a nonce, then the program.
It reports STARTED when all limits are set, and the nonce when the program has run to its last line.
"""

import os
import resource
import sys
import types

STARTED = b"S"
NONCE_LENGTH = 32
THREADS, OPEN_FILES = 64, 64
OWN_FRAMES = 2 if sys.version_info >= (3, 12) else 3
"""Calls below the program's first one: this module, `main`, and `exec` if Python counts it."""


def limit_resources(cpu_seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """Set hard limits. There is only one process, so each limit is a limit of the sum."""
    for kind, limit in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, THREADS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def become(user: int) -> None:
    """Change the user permanently, which also removes root's capabilities.

    Raises:
        OSError: this failed, or can be undone.
    """
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return
    raise OSError("the program could become root again")


def main() -> None:
    """Drop permissions and set limits, then run the program."""
    report, user, cpu_seconds, memory_bytes, output_bytes = map(int, sys.argv[1:])
    nonce = sys.stdin.buffer.read(NONCE_LENGTH)
    program = sys.stdin.buffer.read()
    if user != -1:
        become(user)
    limit_resources(cpu_seconds, memory_bytes, output_bytes)
    module = types.ModuleType("__main__")
    module.__file__ = os.path.join(os.getcwd(), "program.py")  # noqa: PTH109, PTH118
    sys.modules["__main__"], sys.argv = module, ["program.py"]
    # The same depth as without these calls.
    sys.setrecursionlimit(sys.getrecursionlimit() + OWN_FRAMES)
    os.write(report, STARTED)
    with open("program.py", "wb") as file:  # noqa: PTH123 (pathlib doubles the start-up time)
        file.write(program)
    exec(compile(program, "program.py", "exec", dont_inherit=True), module.__dict__)
    os.write(report, nonce)


if __name__ == "__main__":
    main()
