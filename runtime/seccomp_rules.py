"""The system calls that a program in the sandbox may make, and the stored filters made from that list.

Default deny: a call that is not named here fails with EPERM. `build` needs `pyseccomp` (libseccomp) and runs at
development time only; the result is kept in the repository as BPF, and a test builds it anew and compares. Loading
needs one `prctl` and no library (`inside_walls`).

Two variants: `full` for use inside bubblewrap, where files can be changed in the scratch directory only, and `reader`,
without namespaces, which has no call that changes a file (Landlock does not cover chmod, utime or setxattr).
"""

from __future__ import annotations

import errno
import platform
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from leafwise.runtime.layer_seccomp import OWN_PID

Variant = Literal["full", "reader"]
ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
"""`platform.machine()` -> name of the stored filter."""

_MEMORY = "brk mmap mprotect munmap mremap"
_TASKS = (
    "exit exit_group set_robust_list rseq set_tid_address restart_syscall sched_yield sched_getaffinity "
    "sched_get_priority_max sched_get_priority_min getcpu"
)
_SIGNALS = (
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack "
    "pause alarm setitimer getitimer"
)
_TIME = "nanosleep gettimeofday time times getrusage"
_IDENTITY = (
    "getpid gettid getppid getuid geteuid getgid getegid getgroups getresuid getresgid getpgrp "
    "uname sysinfo getrlimit umask"
)
_DESCRIPTORS = (
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close lseek dup "
    "dup2 dup3 pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait "
    "epoll_pwait epoll_pwait2 eventfd eventfd2 fsync fdatasync "
    "fadvise64 getrandom"
)
_FILES = (
    "stat fstat lstat newfstatat fstatat64 statx access faccessat faccessat2 readlink readlinkat getdents "
    "getdents64 getcwd chdir fchdir statfs fstatfs"
)
_SOCKET_PAIR = "shutdown getsockname getpeername"
_CHANGES = (
    "ftruncate truncate fallocate rename renameat unlink unlinkat mkdir mkdirat rmdir symlink "
    "symlinkat link linkat chmod fchmod fchmodat fchmodat2 utime utimes utimensat futimesat creat"
)

_F_COMMANDS = (0, 1, 2, 3, 4, 1030, 1032)
"""dup, descriptor flags, status flags, F_DUPFD_CLOEXEC, F_GETPIPE_SZ: nothing with owners, signals or leases."""
_F_LOCKS = (5, 6, 7, 36, 37, 38)
"""For files of one's own; the library's are the machine's, and others may wait for them. No flock, for which a
descriptor for reading is enough.
"""
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_CLONE_THREAD = 0x00010F00
"""CLONE_THREAD with memory, directory, descriptors and signal handlers shared: a thread with a descriptor table of its
own would have limits of its own too."""
_CLONE_ODD = 0x0000B000
"""CLONE_PIDFD, CLONE_PTRACE, CLONE_PARENT."""
_NAMESPACES = 0x7E020080
"""All CLONE_NEW* flags."""
_CHANGING_OPEN = 0o1 | 0o2 | 0o100 | 0o1000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE's own bit."""
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_PR_SET_NAME, _PR_GET_NAME = 15, 16
_LAST_CLOCK = 11
"""CLOCK_TAI. Clocks below zero belong to other processes, and reading those asks for no permission."""
_FUTEX_OPERATIONS = (0, 1, 3, 4, 5, 9, 10)
"""Waiting, waking, requeueing: no locks with owners (PI), the source of many kernel holes."""
_FUTEX_MASK = 0x7F
_ADVICE = (0, 1, 2, 3, 4, 8, 14, 15, 102, 103)
"""The last two put guard pages into stacks (glibc 2.42). No MADV_MERGEABLE: merged pages tell what others hold."""
_SOCKET_OPTIONS = (3, 4, 7, 8, 38, 39)
"""Type, error, buffer sizes, protocol, domain; not SO_PEERPIDFD, a descriptor for the zygote."""
_SEND_FLAGS, _RECEIVE_FLAGS = 0x4040, 0x4142
"""MSG_DONTWAIT and MSG_NOSIGNAL, and for receiving MSG_PEEK and MSG_WAITALL; never MSG_OOB."""
_ALL_BITS, _CLOSE_RANGE_CLOEXEC = 0xFFFFFFFF, 4
_CLOEXEC_FLAG = 0x40000000
"""MSG_CMSG_CLOEXEC."""
_NO_ATTRIBUTES = "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr"


def stored(variant: Variant) -> bytes:
    """The stored filter for this machine; empty when there is none for its architecture."""
    name = ARCHITECTURES.get(platform.machine())
    if name is None:
        return b""
    return resources.files("leafwise.runtime").joinpath(filter_name(variant, name)).read_bytes()


def filter_name(variant: Variant, architecture: str) -> str:
    """File name of a stored filter."""
    return f"seccomp_{architecture}.bpf" if variant == "full" else f"seccomp_{variant}_{architecture}.bpf"


def build(variant: Variant, architecture: str) -> bytes:
    """Make a filter with libseccomp.

    Args:
        variant: which list of calls.
        architecture: `x86_64` or `aarch64`; need not be this machine's.

    Returns:
        The BPF program, 8 bytes an instruction.
    """
    import pyseccomp as sc

    rules = sc.SyscallFilter(sc.ERRNO(errno.EPERM))
    rules.set_attr(sc.Attr.CTL_OPTIMIZE, 2)  # a tree: the kernel runs it once for each call there is when it is loaded
    target = getattr(sc.Arch, architecture.upper())
    if target != sc.system_arch():
        rules.add_arch(target)
        rules.remove_arch(sc.system_arch())
    _allow_plain(sc, rules, target, variant)
    _allow_by_argument(sc, rules, target, variant)
    _allow_open(sc, rules, target, variant)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def write_all(folder: Path) -> None:
    """Build every filter into `folder` (development time)."""
    for architecture in sorted(set(ARCHITECTURES.values())):
        for variant in ("full", "reader"):
            folder.joinpath(filter_name(variant, architecture)).write_bytes(build(variant, architecture))


def _rule(sc: Any, rules: Any, target: Any, action: Any, name: str, *conditions: Any) -> None:
    number = sc.resolve_syscall(target, name)
    if number >= 0:  # negative: this architecture has no such call
        rules.add_rule(action, name, *conditions)


def _allow_plain(sc: Any, rules: Any, target: Any, variant: Variant) -> None:
    groups = [_MEMORY, _TASKS, _SIGNALS, _TIME, _IDENTITY, _DESCRIPTORS, _FILES, _SOCKET_PAIR]
    if variant == "full":
        groups.append(_CHANGES)
    for name in " ".join(groups).split():
        _rule(sc, rules, target, sc.ALLOW, name)
    _rule(
        sc, rules, target, sc.ERRNO(errno.ENOSYS), "clone3"
    )  # glibc then falls back to clone, whose flags can be seen
    for name in _NO_ATTRIBUTES.split():  # shutil.copystat takes this error for "none here", and EPERM for a failure
        _rule(sc, rules, target, sc.ERRNO(errno.EOPNOTSUPP), name)


def _allow_by_argument(sc: Any, rules: Any, target: Any, variant: Variant) -> None:
    for name, *conditions in (*_tasks_by_argument(sc), *_channels_by_argument(sc, variant)):
        _rule(sc, rules, target, sc.ALLOW, name, *conditions)


def _tasks_by_argument(sc: Any) -> Iterator[tuple[Any, ...]]:
    """Threads, signals, clocks, memory: (name, conditions...)."""
    arg, eq, masked = sc.Arg, sc.EQ, sc.MASKED_EQ
    yield "clone", arg(0, masked, _CLONE_THREAD | _CLONE_ODD | _NAMESPACES, _CLONE_THREAD)
    yield "kill", arg(0, eq, OWN_PID)
    yield "tgkill", arg(0, eq, OWN_PID)
    yield "prlimit64", arg(0, eq, 0), arg(2, eq, 0)
    yield "getpriority", arg(0, eq, 0), arg(1, eq, 0)
    for pid in (0, OWN_PID):
        for name in ("getpgid", "getsid", "sched_getparam", "sched_getscheduler"):
            yield name, arg(0, eq, pid)
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        yield name, arg(0, sc.LE, _LAST_CLOCK)
    yield from (("futex", arg(1, masked, _FUTEX_MASK, operation)) for operation in _FUTEX_OPERATIONS)
    yield from (("madvise", arg(2, eq, advice)) for advice in _ADVICE)
    yield from (("prctl", arg(0, eq, option)) for option in (_PR_SET_NAME, _PR_GET_NAME))


def _channels_by_argument(sc: Any, variant: Variant) -> Iterator[tuple[Any, ...]]:
    """Descriptors and socket pairs: (name, conditions...)."""
    arg, eq, masked = sc.Arg, sc.EQ, sc.MASKED_EQ
    yield "socketpair", arg(0, eq, _AF_UNIX), arg(1, masked, _SOCK_TYPE_MASK, _SOCK_STREAM)
    yield "sendto", arg(4, eq, 0), arg(3, masked, _ALL_BITS & ~_SEND_FLAGS, 0)
    yield "recvfrom", arg(3, masked, _ALL_BITS & ~_RECEIVE_FLAGS, 0)
    # Descriptors come from the zygote only, and to testers only: nothing in here can send any.
    yield "recvmsg", arg(2, masked, _ALL_BITS & ~(_RECEIVE_FLAGS | _CLOEXEC_FLAG), 0)
    yield "close_range", arg(2, masked, _ALL_BITS & ~_CLOSE_RANGE_CLOEXEC, 0)  # not CLOSE_RANGE_UNSHARE
    commands = _F_COMMANDS + (_F_LOCKS if variant == "full" else ())
    yield from (("getsockopt", arg(1, eq, 1), arg(2, eq, option)) for option in _SOCKET_OPTIONS)
    yield from (("fcntl", arg(1, eq, command)) for command in commands)
    yield from (("ioctl", arg(1, eq, request)) for request in _IOCTLS)


def _allow_open(sc: Any, rules: Any, target: Any, variant: Variant) -> None:
    for name, position in (("open", 1), ("openat", 2)):
        conditions = () if variant == "full" else (sc.Arg(position, sc.MASKED_EQ, _CHANGING_OPEN, 0),)
        _rule(sc, rules, target, sc.ALLOW, name, *conditions)
