# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a switch of the process is turned that weakens a wall or opens rare kernel code
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


number = 157 if platform.machine() == "x86_64" else 167
for option, value in (
    (1, 0),
    (4, 1),
    (8, 1),
    (22, 1),
    (23, 0),
    (24, 0),
    (26, 1),
    (28, 0),
    (29, 1),
    (35, 1),
    (36, 1),
    (38, 0),
    (41, 1),
    (47, 4),
    (50, 64),
    (53, 0),
    (55, 1),
    (57, 1),
    (59, 1),
    (62, 0),
    (65, 1),
    (67, 1),
    (0x59616D61, -1),
    (0x53564D41, 0),
):
    result, error = call(number, option, value, 0, 0, 0)
    if result >= 0 or error != 1:
        raise RuntimeError("ESCAPED: prctl %d gave %d, errno %d" % (option, result, error))
