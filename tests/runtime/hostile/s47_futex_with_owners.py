# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: priority-inheriting locks: the oldest source of kernel holes that threads reach
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


number = 202 if platform.machine() == "x86_64" else 98
word, other = ctypes.c_int(0), ctypes.c_int(0)
for operation in (6, 8, 13, 11, 12):  # LOCK_PI, TRYLOCK_PI, LOCK_PI2, WAIT_REQUEUE_PI, CMP_REQUEUE_PI
    result, error = call(number, ctypes.addressof(word), operation | 128, 1, 0, ctypes.addressof(other), 0)
    if error != 1:
        raise RuntimeError("ESCAPED: futex operation %d gave %d, errno %d" % (operation, result, error))
