# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a call by the numbers of another ABI
"""


def mix(xs, k):
    return None


import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
if platform.machine() == "x86_64":
    for number in (39, 102, 41, 57):
        if libc.syscall(0x40000000 | number, 1, 1, 0, 0) >= 0:
            raise RuntimeError("ESCAPED: x32 call %d" % number)
