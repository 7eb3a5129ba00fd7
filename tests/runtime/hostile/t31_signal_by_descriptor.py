# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the supervisor gets a signal through a pipe's owner
"""


def mix(xs, k):
    return None


import fcntl
import os

r, w = os.pipe()
for command, value in ((8, os.getppid()), (10, 9), (15, 0), (1024, 1), (1031, 1 << 20)):
    try:
        fcntl.fcntl(r, command, value)
    except OSError:
        continue
    raise RuntimeError("ESCAPED: fcntl %d" % command)
