# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a new process
"""


def mix(xs, k):
    return None


import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
clone = 56 if platform.machine() == "x86_64" else 220
for flags in (17, 0x4000 | 0x100 | 17, 0x10000000 | 17, 0x7E020000 | 17):
    pid = libc.syscall(clone, flags, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        raise RuntimeError("ESCAPED: clone %x" % flags)
