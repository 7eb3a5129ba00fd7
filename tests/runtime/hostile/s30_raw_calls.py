# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a dangerous system call succeeds
"""


def mix(xs, k):
    return None


import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    "ptrace": (101, 117),
    "mount": (165, 40),
    "umount2": (166, 39),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "io_uring_setup": (425, 425),
    "process_vm_readv": (310, 270),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "setuid": (105, 146),
    "personality": (135, 92),
    "sethostname": (170, 161),
    "open_by_handle_at": (304, 265),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "seccomp": (317, 277),
    "clone3": (435, 435),
    "prlimit64": (302, 261),
    "mknodat": (259, 33),
}
column = 0 if platform.machine() == "x86_64" else 1
for name, numbers in NUMBERS.items():
    if libc.syscall(numbers[column], 1, 1, 1, 1, 1) >= 0:
        raise RuntimeError("ESCAPED: " + name)
