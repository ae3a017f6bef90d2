"""A filter against system calls that namespaces do not cover, and that no project's tests need.

The kernel's keyrings are inherited (the runner's session keyring may hold tickets and passwords); its log and
its performance counters tell of other processes; the others are where the kernel itself was broken most.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from collections.abc import Mapping, Sequence

_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.ENOSYS  # as an older kernel would: programs then do without
_X32 = 0x40000000  # x86-64 numbers above are another way to the same calls

_CALLS = (
    "syslog",
    "add_key",
    "request_key",
    "keyctl",
    "perf_event_open",
    "bpf",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
)
# The audit architectures of a machine, the 32-bit one included, and the numbers of _CALLS in each.
_NUMBERS = {
    "x86_64": {
        0xC000003E: (103, 248, 249, 250, 298, 321, 323, 425, 426, 427),
        0x40000003: (103, 286, 287, 288, 336, 357, 374, 425, 426, 427),
    },
    "aarch64": {
        0xC00000B7: (116, 217, 218, 219, 241, 280, 282, 425, 426, 427),
        0x40000028: (103, 309, 310, 311, 364, 386, 388, 425, 426, 427),
    },
}


@functools.cache
def program(machine: str | None = None) -> bytes:
    """The filter for a machine (default: this one) as bubblewrap takes it; empty for one not known here."""
    numbers = _NUMBERS.get(machine or platform.machine())
    return b"" if numbers is None else _filter(numbers, otherwise=_REFUSE)


@functools.cache
def program_for_any() -> bytes:
    """The same for a machine that is not looked at: one that is not known here is let do all."""
    every = {architecture: calls for numbers in _NUMBERS.values() for architecture, calls in numbers.items()}
    return _filter(every, otherwise=_ALLOW)


def _filter(numbers: Mapping[int, Sequence[int]], *, otherwise: int) -> bytes:
    code = [_step(_LOAD, _ARCHITECTURE)]
    for architecture, calls in numbers.items():
        part = [_step(_LOAD, _NUMBER), _step(_JUMP_IF_AT_LEAST, _X32, no=1), _step(_RETURN, _REFUSE)]
        for number in calls:
            part += [_step(_JUMP_IF_EQUAL, number, no=1), _step(_RETURN, _REFUSE)]
        part.append(_step(_RETURN, _ALLOW))
        code += [_step(_JUMP_IF_EQUAL, architecture, no=len(part)), *part]
    return b"".join([*code, _step(_RETURN, otherwise)])


def _step(operation: int, value: int, *, no: int = 0) -> bytes:
    """One instruction; a comparison that fails skips `no` of those after it."""
    return struct.pack("=HBBI", operation, 0, no, value)
