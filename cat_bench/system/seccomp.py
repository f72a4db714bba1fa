"""Write the kernel's filter of system calls for a sandboxed program (seccomp).

In a new namespace, a program could mount file systems without a limit. The kernel does not count
shared memory as a process's memory. Both would evade the limits on memory and disk. The filter
also denies keys and tracing, which no program needs.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping

_DENIED: Mapping[str, tuple[int, int]] = {
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "ptrace": (101, 117), "bpf": (321, 280),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "userfaultfd": (323, 282),
}  # fmt: skip
"""Numbers of system calls on x86-64 and on ARM64."""
_MACHINES: Mapping[str, tuple[int, int, int]] = {
    "x86_64": (0, 0xC000003E, 56),
    "aarch64": (1, 0xC00000B7, 220),
}
"""The column of the numbers, the kernel's name of the architecture, and the number of `clone`."""
_CLONE3 = 435
_OTHER_ABI = 0x40000000
"""Numbers from this one on are x86-64's system calls with short pointers (x32)."""
_NAMESPACES = 0x7E020000
"""The flags of `clone` that make a namespace."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000


def write_filter() -> bytes | None:
    """Return the filter as the kernel reads it (classic BPF); None on another architecture."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return None
    column, architecture, clone = machine
    parts = [_step(_LOAD, _ARCHITECTURE), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL)]
    parts += [_step(_LOAD, _NUMBER), *_fail_if(_AT_LEAST, _OTHER_ABI, errno.EPERM)]
    for numbers in _DENIED.values():
        parts += _fail_if(_EQUAL, numbers[column], errno.EPERM)
    parts += _fail_if(_EQUAL, _CLONE3, errno.ENOSYS)
    parts += [_step(_EQUAL, clone, 0, 3), _step(_LOAD, _FIRST_ARGUMENT)]
    parts += [*_fail_if(_ANY_BIT, _NAMESPACES, errno.EPERM), _step(_RETURN, _ALLOW)]
    return b"".join(parts)


def _fail_if(test: int, value: int, error: int) -> list[bytes]:
    return [_step(test, value, 0, 1), _step(_RETURN, _FAIL | error)]


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Return an instruction; `yes` and `no` are the steps to skip after a test."""
    return struct.pack("HBBI", code, yes, no, value)
