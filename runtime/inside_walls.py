"""The walls that a forked child puts around itself before it runs anything untrusted.

Runs inside the sandbox: standard library and `landlockpy` only. Every step raises when it fails, and the child then
reports that instead of running the program.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import math
import os
import resource
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import landlockpy

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 4, 22, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL, _SECCOMP_MODE_FILTER = 4, 2
_CAPABILITY_VERSION_3 = 0x20080522
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MNT_DETACH = 2, 4, 8, 2
OWN_PID = 0x5EAF0D1D
"""Stands for the child's own process id in the stored seccomp filter."""
_INSTRUCTION = struct.Struct("HBBI")
_JUMP_IF_EQUAL = 0x15
SCRATCH_OPTIONS = b"size=32m,nr_inodes=1024,mode=0700"

_libc = ctypes.CDLL(None, use_errno=True)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _prctl(option: int, *args: int, what: str) -> None:
    _check(_libc.prctl(option, *(ctypes.c_ulong(a) for a in (*args, 0, 0, 0, 0)[:4])), what)


def undumpable() -> None:
    """Nobody of the same user can trace this process or read its memory; no core file."""
    _prctl(_PR_SET_DUMPABLE, 0, what="PR_SET_DUMPABLE")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent thread ends; children of it don't inherit that."""
    _prctl(_PR_SET_PDEATHSIG, number, what="PR_SET_PDEATHSIG")


@dataclass
class Layers:
    """Which walls this worker has. Made once in the zygote; `enter` is called in each child."""

    scratch: str | None
    """Writable directory, or None."""
    mount: bool
    """Whether the zygote holds CAP_SYS_ADMIN in its own namespaces, to mount the scratch directory."""
    library: list[tuple[str, bool]] | None
    """Paths that Landlock lets children read, and whether that includes files or only the listing of directories; None
    leaves Landlock out. The kernel must have it."""
    seccomp: str
    """Stored filter, base64; empty for none."""
    task_slack: int
    """Added to the limit of threads: tasks of the same user outside of the sandbox."""

    def __post_init__(self) -> None:
        self._filter = base64.b64decode(self.seccomp)
        self._own_pid_at = _places_of_own_pid(self._filter)
        self._ruleset: landlockpy.Ruleset | None = None
        self._renew()

    def enter(self, limits: dict[str, Any]) -> None:
        """Put the walls up around the calling process, which must have one thread.

        Raises:
            OSError: a wall could not be put up.
            landlockpy.LandlockError: the same.
        """
        os.chdir(self.scratch or "/")
        die_with_parent(signal.SIGKILL)
        if self.mount:
            _drop_capabilities()
        _limit_resources(limits, self.task_slack)
        undumpable()
        _prctl(_PR_SET_NO_NEW_PRIVS, 1, what="no_new_privs")
        if self._ruleset is not None:
            self._ruleset.restrict()
            self._ruleset.close()
        if self._filter:
            _load_filter(self._filter, self._own_pid_at)

    def descriptors(self) -> list[int]:
        """Descriptors that a child needs until it has entered."""
        return [] if self._ruleset is None else [self._ruleset.fileno()]

    def clean(self) -> bool:
        """Empty the scratch directory after a program.

        Returns:
            Whether it is empty now; if not, this worker must not be used again.
        """
        if self.scratch is None:
            return True
        with contextlib.suppress(OSError):  # the program may have locked the directory
            if not any(Path(self.scratch).iterdir()):
                return True
        if not self.mount:
            return False
        _check(_libc.umount2(self.scratch.encode(), _MNT_DETACH), "umount of scratch")
        self._renew()
        return True

    def _renew(self) -> None:
        if self.mount and self.scratch is not None:
            flags = ctypes.c_ulong(_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
            _check(_libc.mount(b"tmpfs", self.scratch.encode(), b"tmpfs", flags, SCRATCH_OPTIONS), "mount of scratch")
        if self.library is not None:  # a rule holds a directory itself, not its name: a new mount needs a new rule
            if self._ruleset is not None:
                self._ruleset.close()
            self._ruleset = self._rules(self.library)

    def _rules(self, library: list[tuple[str, bool]]) -> landlockpy.Ruleset:
        fs = landlockpy.AccessFS
        ruleset = landlockpy.Ruleset(scoped=landlockpy.Scope.ABSTRACT_UNIX_SOCKET | landlockpy.Scope.SIGNAL)
        allowed = [(path, fs.READ_DIR | (fs.READ_FILE if files else fs.NONE)) for path, files in library]
        allowed += [(path, fs.READ_FILE) for path in ("/dev/zero", "/dev/random", "/dev/urandom")]
        allowed.append(("/dev/null", fs.READ_FILE | fs.WRITE_FILE))
        if self.scratch is not None:
            special = fs.EXECUTE | fs.MAKE_CHAR | fs.MAKE_BLOCK | fs.MAKE_SOCK | fs.MAKE_FIFO
            allowed.append((self.scratch, ruleset.handled_fs & ~special))
        for path, access in allowed:
            if Path(path).is_dir():
                ruleset.allow_path(path, access)
            elif Path(path).exists():
                ruleset.allow_path(path, access & ~fs.READ_DIR)
        return ruleset


def _drop_capabilities() -> None:
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, what="PR_CAP_AMBIENT_CLEAR_ALL")
    head, sets = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
    _check(_libc.capset(head, sets), "capset")
    if _libc.mount(b"tmpfs", b"/", b"tmpfs", ctypes.c_ulong(0), None) == 0:
        raise PermissionError("a mount succeeded after the capabilities were dropped")


def _limit_resources(limits: dict[str, Any], task_slack: int) -> None:
    cpu = math.ceil(limits["cpu_seconds"]) + 1
    memory = limits["memory_mb"] << 20
    for which, value in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, limits["file_mb"] << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_STACK, 64 << 20),
        (resource.RLIMIT_NPROC, limits["processes"] + task_slack),
    ):
        hard = resource.getrlimit(which)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (bound, bound))


def _places_of_own_pid(stored: bytes) -> list[int]:
    """Offsets of the constants that stand for the child's own process id."""
    size = _INSTRUCTION.size
    found = []
    for at in range(0, len(stored), size):
        code, _, _, constant = _INSTRUCTION.unpack_from(stored, at)
        if code == _JUMP_IF_EQUAL and constant == OWN_PID:
            found.append(at + size - 4)
    return found


def _load_filter(stored: bytes, own_pid_at: list[int]) -> None:
    buffer = ctypes.create_string_buffer(stored, len(stored))
    for at in own_pid_at:
        struct.pack_into("I", buffer, at, os.getpid())
    program = _Filter(len(stored) // _INSTRUCTION.size, ctypes.addressof(buffer))
    result = _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(program), 0, 0)
    _check(result, "seccomp filter")
