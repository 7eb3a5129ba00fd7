"""The stored filters: rebuilt and compared, and read by a small interpreter of BPF, for both processors."""

from __future__ import annotations

import ctypes
import errno
import struct

import pytest

from leafwise.runtime import seccomp_rules
from leafwise.runtime.layer_seccomp import OWN_PID

pyseccomp = pytest.importorskip("pyseccomp")
BUILT_WITH = (2, 5)
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
EVERY = [(variant, architecture) for variant in ("full", "reader") for architecture in AUDIT]


def libseccomp_version() -> tuple[int, int]:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    major, minor, _ = library.seccomp_version().contents
    return major, minor


def stored(variant: str, architecture: str) -> bytes:
    from importlib import resources

    return resources.files("leafwise.runtime").joinpath(seccomp_rules.filter_name(variant, architecture)).read_bytes()  # type: ignore[arg-type]


@pytest.mark.parametrize(("variant", "architecture"), EVERY)
def test_stored_filter_is_what_the_list_gives(variant: seccomp_rules.Variant, architecture: str) -> None:
    if libseccomp_version() != BUILT_WITH:
        pytest.skip(f"the filters were built with libseccomp {BUILT_WITH}; others may order instructions differently")
    assert seccomp_rules.build(variant, architecture) == stored(variant, architecture)


def decide(program: bytes, architecture: int, number: int, *args: int) -> int:
    """What the kernel would do: classic BPF over `struct seccomp_data`."""
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*args, 0, 0, 0, 0, 0, 0)[:6])
    code = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        operation, yes, no, constant = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x06:
            return int(constant)
        elif operation == 0x05:
            at += constant
        elif operation == 0x54:
            accumulator &= constant
        else:
            holds = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
                0x45: bool(accumulator & constant),
            }[operation]
            at += yes if holds else no


def call(variant: str, architecture: str, name: str, *args: int) -> int:
    number = pyseccomp.resolve_syscall(getattr(pyseccomp.Arch, architecture.upper()), name)
    assert number >= 0, name
    return decide(stored(variant, architecture), AUDIT[architecture], number, *args)


DENIED = """execve execveat ptrace mount umount2 unshare setns chroot pivot_root bpf keyctl memfd_create
    io_uring_setup socket connect bind listen accept accept4 sendmsg pidfd_open pidfd_getfd process_vm_writev
    mknodat userfaultfd perf_event_open setuid setrlimit shmget seccomp kexec_load init_module mq_open personality
    open_by_handle_at setxattr add_key name_to_handle_at tkill rt_sigqueueinfo rt_tgsigqueueinfo quotactl acct"""
ALLOWED = "read write mmap futex exit_group clock_gettime getrandom fstat recvmsg"
CHANGES = """unlinkat renameat mkdirat fchmod fchmodat truncate ftruncate utimensat symlinkat linkat fallocate"""
BY_ARGUMENT = [
    (ENOSYS, "clone3", [()]),
    (ALLOW, "clone", [(0x3D0F00,)]),  # pthread_create
    (EPERM, "clone", [(flags,) for flags in (17, 0x4100, 0x10010000, 0x20010000, 0x40010000, 0x02010000, 0x08030000)]),
    (ALLOW, "kill", [(OWN_PID, 9)]),
    (EPERM, "kill", [(other, 9) for other in (0, 1, OWN_PID + 1, (1 << 64) - 1, OWN_PID | 1 << 32)]),
    (ALLOW, "tgkill", [(OWN_PID, 5, 6)]),
    (EPERM, "tgkill", [(1, 1, 6)]),
    (ALLOW, "prlimit64", [(0, 7, 0, 1)]),
    (EPERM, "prlimit64", [(0, 7, 1, 0), (5, 7, 0, 1)]),
    (ALLOW, "socketpair", [(1, 1 | 0x80800, 0)]),
    (EPERM, "socketpair", [(1, 2, 0), (2, 1, 0)]),
    (ALLOW, "sendto", [(3, 1, 1, 0, 0)]),
    (EPERM, "sendto", [(3, 1, 1, 0, 1)]),
    (ALLOW, "prctl", [(15, 1), (16, 1)]),
    (EPERM, "prctl", [(option,) for option in (1, 4, 22, 23, 24, 36, 39, 47, 59)]),
    (ALLOW, "fcntl", [(3, 1), (3, 4), (3, 1030)]),
    (EPERM, "fcntl", [(3, command) for command in (8, 10, 15, 1024, 1031)]),
    (ALLOW, "ioctl", [(0, 0x5401), (0, 0x5421)]),
    (EPERM, "ioctl", [(0, request) for request in (0x5412, 0x8901, 0x541C)]),
]


@pytest.mark.parametrize(("variant", "architecture"), EVERY)
def test_calls_by_name(variant: str, architecture: str) -> None:
    assert {name for name in ALLOWED.split() if call(variant, architecture, name) != ALLOW} == set()
    assert {name for name in DENIED.split() if call(variant, architecture, name) != EPERM} == set()


@pytest.mark.parametrize(("variant", "architecture"), EVERY)
@pytest.mark.parametrize(("expected", "name", "forms"), BY_ARGUMENT)
def test_calls_by_argument(
    variant: str, architecture: str, expected: int, name: str, forms: list[tuple[int, ...]]
) -> None:
    for form in forms:
        assert call(variant, architecture, name, *form) == expected, form


@pytest.mark.parametrize("architecture", AUDIT)
def test_the_reader_changes_no_file(architecture: str) -> None:
    for name in CHANGES.split():
        assert call("full", architecture, name) == ALLOW
        assert call("reader", architecture, name) == EPERM
    for flags in (0o1, 0o2, 0o100, 0o1000, 0o1101, 0o20200002):
        assert call("full", architecture, "openat", 0, 0, flags) == ALLOW
        assert call("reader", architecture, "openat", 0, 0, flags) == EPERM
    assert call("reader", architecture, "openat", 0, 0, 0o2000000) == ALLOW


def test_other_architectures_get_nothing() -> None:
    program = stored("full", "x86_64")
    for architecture in (0x40000003, AUDIT["aarch64"]):
        assert decide(program, architecture, 0) not in (ALLOW, EPERM)
    assert decide(program, AUDIT["x86_64"], 0x40000000 | 39) != ALLOW
