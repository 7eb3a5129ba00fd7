# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the user's other programs can queue no signal any more
"""


def mix(xs, k):
    return None


import os
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, [40])
queued = 0
try:
    while queued < 20_000:
        os.kill(os.getpid(), 40)
        queued += 1
except OSError:
    pass
if queued >= 20_000:
    raise RuntimeError("ESCAPED: %d signals wait" % queued)
