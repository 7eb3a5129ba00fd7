# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: how much the process of the checks, or anybody, computes can be watched
"""


def mix(xs, k):
    return None


import os
import time

for pid in {os.getppid(), *range(1, 400)} - {os.getpid()}:
    for which in (2, 0, 1, 6):
        try:
            time.clock_gettime((~pid << 3) | which)
        except OSError:
            continue
        raise RuntimeError("ESCAPED: read clock %d of process %d" % (which, pid))
