"""The few calls of the C library that Python has no function for. Runs inside the sandbox, standard library only."""

from __future__ import annotations

import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_LONG, _TEXT = ctypes.c_ulong, ctypes.c_char_p
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, _LONG, _LONG, _LONG, _LONG)
_mount = _libc.mount
_mount.argtypes = (_TEXT, _TEXT, _TEXT, _LONG, _TEXT)
_umount2 = _libc.umount2
_umount2.argtypes = (_TEXT, ctypes.c_int)
_capset = _libc.capset
_capset.argtypes = (_TEXT, _TEXT)
_landlock = _libc.syscall
_landlock.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_uint, _TEXT, ctypes.c_uint)
_landlock.restype = ctypes.c_long
_ADD_RULE, _RESTRICT_SELF = 445, 446
"""The same numbers on every architecture."""
_PATH_BENEATH, _RULE = 1, struct.Struct("=Qi")
_MNT_DETACH = 2
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096


def prctl(option: int, value: int = 0, address: int = 0, *, what: str) -> int:
    """`prctl(2)`.

    Args:
        option: which one.
        value: second argument.
        address: third argument.
        what: the step in words, for the error.

    Returns:
        What the call gave.

    Raises:
        OSError: the kernel refused.
    """
    result: int = _prctl(option, value, address, 0, 0)
    return _checked(result, what)


def mount_tmpfs(folder: str, flags: int, options: str) -> None:
    """Mount a new file system in memory.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_mount(b"tmpfs", folder.encode(), b"tmpfs", flags, options.encode()), f"mount of {folder}")


def remount_read_only(path: str) -> None:
    """Make a bound file read-only as a file: what is written to a device still reaches it, changes of its mode do not.

    Raises:
        OSError: the kernel refused.
    """
    kept = os.statvfs(path).f_flag & (_NOSUID | _NODEV | _NOEXEC)
    _checked(_mount(None, path.encode(), None, _REMOUNT | _BIND | _RDONLY | kept, None), f"read-only {path}")


def unmount(folder: str) -> None:
    """Take a file system away, also where a file in it is still open.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_umount2(folder.encode(), _MNT_DETACH), f"umount of {folder}")


def set_capabilities(head: bytes, sets: bytes) -> None:
    """`capset(2)`.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_capset(head, sets), "capset")


def landlock_restrict_self(ruleset: int) -> None:
    """`landlock_restrict_self(2)`.

    Args:
        ruleset: its descriptor.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_landlock(_RESTRICT_SELF, ruleset, 0, None, 0), "landlock_restrict_self")


def landlock_allow_path(ruleset: int, path: int, access: int) -> None:
    """`landlock_add_rule(2)` for a file or all that lies below a directory.

    Args:
        ruleset: its descriptor.
        path: descriptor of the file or directory.
        access: what is allowed, as in `landlockpy.AccessFS`.

    Raises:
        OSError: the kernel refused.
    """
    _checked(_landlock(_ADD_RULE, ruleset, _PATH_BENEATH, _RULE.pack(access, path), 0), "landlock_add_rule")


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
