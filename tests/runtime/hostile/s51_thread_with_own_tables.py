# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a thread that does not share descriptors or memory: limits per table no longer hold
"""


def mix(xs, k):
    return None


import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return result, ctypes.get_errno()


number = 56 if platform.machine() == "x86_64" else 220
# CLONE_THREAD needs CLONE_SIGHAND and that CLONE_VM; without them the kernel, not the filter, must say no.
for flags in (0x10000, 0x10000 | 0x800, 0x10000 | 0x2000, 0x10000 | 0x8000):
    result, error = call(number, flags, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    if result > 0 or error != 1:
        raise RuntimeError("ESCAPED: clone %x gave %d, errno %d" % (flags, result, error))
