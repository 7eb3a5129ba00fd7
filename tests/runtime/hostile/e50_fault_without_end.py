# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: no verdict in time: a handled memory fault that faults again
"""

import ctypes
import faulthandler
import signal

faulthandler.disable()
for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGXCPU, signal.SIGTERM):
    signal.signal(number, lambda *_: None)


def mix(xs, k):
    return ctypes.string_at(8)
