# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: memory is merged with equal pages of other programs: a way to learn what they hold
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


import mmap

x86 = platform.machine() == "x86_64"
block = mmap.mmap(-1, 1 << 20)
start = ctypes.addressof(ctypes.c_char.from_buffer(block))
for advice in (12, 100, 101, 21):  # MERGEABLE, HWPOISON, SOFT_OFFLINE, PAGEOUT
    result, error = call(28 if x86 else 233, start, 1 << 20, advice)
    if result == 0 or error not in (1, 22):
        raise RuntimeError("ESCAPED: madvise %d gave errno %d" % (advice, error))
for number, arguments in ((440, (0, 0, 0, 20, 0)), (157 if x86 else 167, (67, 1, 0, 0, 0))):
    result, error = call(number, *arguments)  # process_madvise, PR_SET_MEMORY_MERGE
    if error != 1:
        raise RuntimeError("ESCAPED: call %d gave errno %d" % (number, error))
