"""The system calls that a contained program may make, as a seccomp filter for `bwrap --seccomp`.

The filter refuses calls that would escape the program's one process or its memory limit: other processes, sockets,
devices and pipes in the file system, memory behind file descriptors, keys, tracing. Threads are allowed.
"""

import errno
import platform
import struct
from typing import NamedTuple


class _Machine(NamedTuple):
    """Numbers of <linux/audit.h> and <asm/unistd.h>."""

    audit: int
    clone: int
    refused: tuple[int, ...]
    most: int | None


_CLONE3 = 435
"""The same on every machine. Its flags are in memory, which a filter cannot read; libraries fall back to `clone`."""

_REFUSED = {
    # name: (x86_64, aarch64)
    "add_key": (248, 217),
    "bpf": (321, 280),
    "fork": (57, None),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmget": (29, 194),
    "socket": (41, 198),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vfork": (58, None),
}


def _refused(column: int) -> tuple[int, ...]:
    return tuple(number for numbers in _REFUSED.values() if (number := numbers[column]) is not None)


_MACHINES = {
    # Numbers from 0x40000000 on are x86_64's second set, x32.
    "x86_64": _Machine(audit=0xC000003E, clone=56, refused=_refused(0), most=0x40000000),
    "aarch64": _Machine(audit=0xC00000B7, clone=220, refused=_refused(1), most=None),
}

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_CLONE_THREAD = 0x00010000


def _fail(code: int) -> int:
    return 0x00050000 | code


def seccomp_filter() -> bytes | None:
    """The filter for this machine, as a BPF program; None for a machine whose system calls are not known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return None
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_fails_where(_EQUAL, _CLONE3, errno.ENOSYS),
    ]
    if machine.most is not None:
        steps += _fails_where(_AT_LEAST, machine.most, errno.EPERM)
    for number in machine.refused:
        steps += _fails_where(_EQUAL, number, errno.EPERM)
    steps += [
        (_EQUAL, 0, 3, machine.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _fail(errno.EPERM)),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _fails_where(test: int, value: int, code: int) -> list[tuple[int, int, int, int]]:
    return [(test, 0, 1, value), (_RETURN, 0, 0, _fail(code))]
