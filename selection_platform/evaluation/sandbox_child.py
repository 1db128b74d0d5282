"""The sandbox's child: gives up everything it could reach, then becomes the program that it reads from stdin.

Run by `sandbox.py` as a script, with the standard library alone. Arguments: an empty folder, CPU seconds, memory bytes,
output bytes.
Ends with SETUP_FAILED and one line of reason if any part of the isolation is refused; the program then never starts.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import sys

SETUP_FAILED = 97

# <linux/sched.h>, <linux/mount.h>, <linux/prctl.h>, <asm/unistd.h> (442 on every architecture).
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
CLONE_NEWIPC = 0x08000000
SYS_MOUNT_SETATTR = 442
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x1, 1 << 18, 0x2, 0x4
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38

NOBODY = 65534
PROCESSES = 32

_libc = ctypes.CDLL(None, use_errno=True)


class MountAttributes(ctypes.Structure):
    """`struct mount_attr`: what mount_setattr(2) changes."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def checked(result: int, what: str) -> None:
    """Raise OSError, naming `what`, if a C call returned -1."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def leave_namespaces() -> None:
    """Move to own user, network, mount, IPC and (for children) process namespaces, as user nobody."""
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC
    checked(_libc.unshare(flags), "own namespaces")
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY} {user} 1"),
        ("gid_map", f"{NOBODY} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 (pathlib doubles the start-up time)
            file.write(content)


def check_no_network() -> None:
    """Raise OSError unless there is no interface but an idle loopback and no way out."""
    if (names := [name for _, name in socket.if_nameindex()]) not in ([], ["lo"]):
        raise OSError(f"network interfaces are left: {names}")
    # Connecting a datagram socket sends nothing: it only asks for a route. 192.0.2.0/24 is reserved for examples.
    for address in ("192.0.2.1", "127.0.0.1"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            if probe.connect_ex((address, 9)) != errno.ENETUNREACH:
                raise OSError(f"the network still has a route to {address}")


def close_file_system(folder: str, size: int) -> None:
    """Make every mount read-only, then put a folder in memory over the empty `folder` and go there."""
    attributes = MountAttributes(attr_set=MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE)
    pointer = ctypes.byref(attributes)
    number = ctypes.c_long(SYS_MOUNT_SETATTR)
    result = _libc.syscall(number, AT_FDCWD, b"/", AT_RECURSIVE, pointer, ctypes.c_size_t(ctypes.sizeof(attributes)))
    checked(result, "read-only files")
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    # /proc shows the processes outside; Python needs none of it.
    checked(_libc.mount(b"tmpfs", b"/proc", b"tmpfs", flags, b"size=4k,mode=555"), "an empty /proc")
    options = f"size={size},nr_inodes=1024,mode=700".encode()
    checked(_libc.mount(b"tmpfs", folder.encode(), b"tmpfs", flags, options), "a temporary folder")
    os.chdir(folder)


def limit_resources(cpu_seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """Hard limits, inherited by all that the program starts."""
    for kind, limit in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def become(program: bytes) -> None:
    """Replace this process by a fresh interpreter that runs the program; the capabilities go with the old one."""
    with open("program.py", "wb") as file:  # noqa: PTH123
        file.write(program)
    checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execv(sys.executable, [sys.executable, "-P", "-s", "-S", "program.py"])


def run_isolated(program: bytes, folder: str, cpu_seconds: int, memory_bytes: int, output_bytes: int) -> int:
    """Fork the program's process, which is the first of its process namespace, and wait for it.

    Returns:
        Its exit status, or 128 plus the signal that ended it.
    """
    child = os.fork()
    if child == 0:
        try:
            checked(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "death with the parent")
            close_file_system(folder, output_bytes)
            limit_resources(cpu_seconds, memory_bytes, output_bytes)
            become(program)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
        finally:
            sys.stderr.flush()
            os._exit(SETUP_FAILED)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def main() -> int:
    """Isolate, verify, run."""
    program = sys.stdin.buffer.read()
    try:
        leave_namespaces()
        check_no_network()
    except OSError as error:
        sys.stderr.write(f"{error} (Linux {platform.release()})\n")
        return SETUP_FAILED
    folder, (cpu_seconds, memory_bytes, output_bytes) = sys.argv[1], map(int, sys.argv[2:])
    return run_isolated(program, folder, cpu_seconds, memory_bytes, output_bytes)


if __name__ == "__main__":
    sys.exit(main())
