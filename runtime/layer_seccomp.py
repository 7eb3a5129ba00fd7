"""Layer: seccomp, which system calls a program may make. `seccomp_rules` has the list and makes the stored filters.

Loading one needs a single `prctl` and no library. Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from leafwise.runtime.inside_libc import prctl

OWN_PID = 0x5EAF0D1D
"""Stands for the child's own process id in the stored filter."""
_INSTRUCTION = struct.Struct("HBBI")
_JUMP_IF_EQUAL = 0x15
_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class Seccomp:
    """A stored filter, ready to be loaded.

    Args:
        stored: the BPF program, 8 bytes an instruction.
    """

    name = "seccomp"

    def __init__(self, stored: bytes) -> None:
        self._buffer = ctypes.create_string_buffer(stored, len(stored))
        self._own_pid_at = [at + _INSTRUCTION.size - 4 for at in _jumps_on_own_pid(stored)]
        self._program = _Filter(len(stored) // _INSTRUCTION.size, ctypes.addressof(self._buffer))
        self._address = ctypes.addressof(self._program)

    def enter(self, limits: dict[str, Any]) -> None:
        """Load the filter, for good; the process must have one thread.

        Raises:
            OSError: the kernel refused.
        """
        own = os.getpid()
        for at in self._own_pid_at:
            struct.pack_into("I", self._buffer, at, own)
        prctl(_SET_SECCOMP, _MODE_FILTER, self._address, what="seccomp filter")

    def self_test(self, limits: dict[str, Any]) -> list[str]:
        """What is still possible in a process that has entered this layer; empty when it holds."""
        tries: dict[str, Callable[[], object]] = {
            "forks": _forks,
            "opens a socket": socket.socket,
            "runs a program": lambda: os.execv("/", ["/"]),
            "signals its parent": lambda: os.kill(os.getppid(), 0),
            "makes a memory file": lambda: os.memfd_create("x"),
        }
        return [hole for hole, action in tries.items() if not _refused(action)]


def _forks() -> None:
    if os.fork() == 0:
        os._exit(0)


def _refused(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError as error:
        return error.errno == errno.EPERM
    return False


def _jumps_on_own_pid(stored: bytes) -> list[int]:
    found = []
    for at in range(0, len(stored), _INSTRUCTION.size):
        code, _, _, constant = _INSTRUCTION.unpack_from(stored, at)
        if code == _JUMP_IF_EQUAL and constant == OWN_PID:
            found.append(at)
    return found
