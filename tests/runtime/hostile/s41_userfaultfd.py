# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: page faults of the kernel are held up from user space
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


number = 323 if platform.machine() == "x86_64" else 282
for flags in (0, 1, 0o2000000 | 1, 0o4000 | 1):
    result, error = call(number, flags)
    if result >= 0 or error != 1:
        raise RuntimeError("ESCAPED: userfaultfd(%o) gave %d, errno %d" % (flags, result, error))
try:
    os.open("/dev/userfaultfd", os.O_RDWR)
except OSError:
    pass
else:
    raise RuntimeError("ESCAPED: opened /dev/userfaultfd")
