# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: another process gets a signal
"""


def mix(xs, k):
    return None


import os
import signal

for target in (-1, 0, 1, os.getppid(), -os.getpgrp(), os.getpid() + 1, os.getpid() - 1):
    for number in (signal.SIGKILL, signal.SIGSTOP, 0):
        try:
            os.kill(target, number)
        except OSError:
            continue
        raise RuntimeError("ESCAPED: signal to %d" % target)
