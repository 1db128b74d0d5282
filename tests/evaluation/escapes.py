"""Attempts to leave the sandbox, each run inside it and, to see that it is an attempt, outside of it.

Run as a script, so that it can be run as another user: prints `{attempt: [worked outside, worked inside, output]}`.
A program has escaped when it runs to its end.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from selection_platform.evaluation.sandbox import Limits, run_python

SYSTEM_CALL = """
import ctypes, platform
def call(x86_64, aarch64, *arguments):
    number = {'x86_64': x86_64, 'aarch64': aarch64}[platform.machine()]
    result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    assert result >= 0, ctypes.get_errno()
"""


class Attempt(NamedTuple):
    """A program with `{outside}`, `{port}`, `{pid}` and `{packages}` to fill in; whether only root can do it anyway."""

    program: str
    root: bool = False


ATTEMPTS = {
    "a Unix socket": Attempt("import socket\nsocket.socket(socket.AF_UNIX).connect('{outside}/socket')"),
    "a Unix socket without a file": Attempt("import socket\nsocket.socket(socket.AF_UNIX).connect('\\0escape-{pid}')"),
    "the machine's own network": Attempt("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)"),
    "a socket for packets": Attempt("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    "a device": Attempt("import os\nos.mknod('device', 0o20666, os.makedev(1, 3))", root=True),
    "a device that is there": Attempt("open('/dev/null', 'w').write('x')"),
    "a pipe outside": Attempt("import os\nos.write(os.open('{outside}/pipe', os.O_WRONLY | os.O_NONBLOCK), b'x')"),
    "a pipe of its own": Attempt("import os\nos.mkfifo('own')"),
    "a file outside, read": Attempt("open('{outside}/secret').read()"),
    "a file outside, written": Attempt("open('{outside}/new', 'w').write('x')"),
    "users of the machine": Attempt("open('/etc/passwd').read()"),
    "passwords of the machine": Attempt("open('/etc/shadow').read()", root=True),
    "installed packages": Attempt("import os\nassert os.listdir('{packages}')"),
    "the library, written": Attempt("import os\nopen(os.__file__, 'a')", root=True),
    "the root folder, written": Attempt("import os\nos.mkdir('/escape-{pid}')\nos.rmdir('/escape-{pid}')", root=True),
    "another process, seen": Attempt("import os\nos.stat('/proc/{pid}')"),
    "another process, its environment": Attempt("open('/proc/{pid}/environ').read()"),
    "another process, signalled": Attempt("import os\nos.kill({pid}, 0)"),
    "a process": Attempt("import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()"),
    "a program": Attempt("import os, sys\nos.waitpid(os.posix_spawn(sys.executable, ['python', '-V'], {}), 0)"),
    "a program by subprocess": Attempt("import subprocess, sys\nsubprocess.run([sys.executable, '-V'], check=True)"),
    "200 processes": Attempt(
        "import os, signal\nstarted = []\nfor _ in range(200):\n    started.append(os.fork())\n"
        "    if not started[-1]:\n        os._exit(0)\nfor each in started:\n    os.waitpid(each, 0)"
    ),
    "memory": Attempt("bytearray(300 << 20)"),
    "memory behind a file descriptor": Attempt("import os\nos.ftruncate(os.memfd_create('x'), 1 << 30)"),
    "memory of the System V kind": Attempt(SYSTEM_CALL + "call(29, 194, 0, 1 << 20, 0o600)"),
    "a larger limit": Attempt("import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"),
    "many files": Attempt("for i in range(64):\n    open(str(i), 'wb').write(bytes(1 << 16))"),
    "a large file": Attempt("open('large', 'wb').write(bytes(2 << 20))"),
    "root": Attempt("import os\nos.setresuid(0, 0, 0)", root=True),
    "another group": Attempt("import os\nos.setgroups([4])", root=True),
    "a mount": Attempt(
        "import ctypes, os\nos.mkdir('m')\nassert ctypes.CDLL(None).mount(b'x', b'm', b'tmpfs', 0, None) == 0\n"
        "ctypes.CDLL(None).umount(b'm')",
        root=True,
    ),
    "a user namespace": Attempt(SYSTEM_CALL + "call(272, 97, 0x10000000)"),
    "a process in a user namespace": Attempt(
        SYSTEM_CALL + "import os\nparent = os.getpid()\ncall(56, 220, 0x10000011, 0, 0, 0, 0)\n"
        "if os.getpid() != parent:\n    os._exit(0)"
    ),
    "a ring of requests": Attempt(
        SYSTEM_CALL + "x = ctypes.create_string_buffer(120)\ncall(425, 425, 1, ctypes.addressof(x))"
    ),
    "a key in the kernel": Attempt(
        SYSTEM_CALL + "a = [ctypes.create_string_buffer(b) for b in (b'user', b'escape', b'x')]\n"
        "call(248, 217, *map(ctypes.addressof, a), 1, -2)"
    ),
    "tracing": Attempt(SYSTEM_CALL + "call(101, 117, 0, 0, 0, 0)"),
    "files left open by us": Attempt(
        "import os, stat\nfound = 0\nfor fd in range(3, 256):\n    try:\n"
        "        found += not stat.S_ISFIFO(os.fstat(fd).st_mode)\n    except OSError:\n        pass\nassert found"
    ),
}  # fmt: skip
LIMITS = Limits(memory_bytes=200 << 20)


def worked_outside(program: str, folder: Path) -> bool:
    """Whether an attempt succeeds where nothing contains it."""
    with (folder / "secret").open() as left_open:
        fd = left_open.fileno()
        done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, pass_fds=(fd,))
    return done.returncode == 0


def main() -> None:
    """Try all, with somebody outside who could be reached."""
    outcomes: dict[str, tuple[bool, bool, str]] = {}
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as with_file:
        folder = Path(name)
        (folder / "secret").write_text("s3cret")
        os.mkfifo(folder / "pipe")
        reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        with_file.bind(f"{name}/socket")
        with_file.listen()
        with socket.socket(socket.AF_UNIX) as without, socket.create_server(("127.0.0.1", 0)) as port:
            without.bind(f"\0escape-{os.getpid()}")
            without.listen()
            values = {"outside": name, "port": port.getsockname()[1], "pid": os.getpid(), "packages": sys.argv[1]}
            for attempt, (text, root) in ATTEMPTS.items():
                if root and os.geteuid() != 0:
                    continue
                program = text
                for key, value in values.items():
                    program = program.replace(f"{{{key}}}", str(value))
                run = run_python(program, LIMITS)
                outcomes[attempt] = (worked_outside(program, folder), run.completed, run.output)
        os.close(reader)
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main()
