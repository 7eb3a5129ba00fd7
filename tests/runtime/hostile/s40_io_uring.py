# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a ring that makes calls past the filter
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


params = ctypes.create_string_buffer(120)
for number, arguments in ((425, (8, ctypes.addressof(params))), (426, (0, 0, 0, 0, 0, 0)), (427, (0, 0, 0, 0))):
    result, error = call(number, *arguments)
    if result >= 0 or error not in (1, 38):
        raise RuntimeError("ESCAPED: io_uring call %d gave %d, errno %d" % (number, result, error))
