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
for _ in range(5000):
    os.kill(os.getpid(), 40)  # never fails; one that is not queued for want of room is lost
queued = 0
while signal.sigtimedwait([40], 0):
    queued += 1
if queued > 1000:
    raise RuntimeError("ESCAPED: %d signals were waiting" % queued)
