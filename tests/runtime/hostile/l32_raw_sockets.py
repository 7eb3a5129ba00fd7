# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: a socket by a raw system call
"""


def mix(xs, k):
    return None


import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for family in (1, 2, 10, 16, 17, 38, 40):
    for kind in (1, 2, 3, 5):
        if libc.socket(family, kind, 0) >= 0:
            raise RuntimeError("ESCAPED: socket %d %d" % (family, kind))
