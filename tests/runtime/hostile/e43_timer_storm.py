# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: no verdict in time: a signal every microsecond
"""


def mix(xs, k):
    while True:
        pass


import signal
import threading

signal.signal(signal.SIGALRM, lambda *_: None)
signal.signal(signal.SIGVTALRM, lambda *_: None)
signal.signal(signal.SIGPROF, lambda *_: signal.setitimer(signal.ITIMER_PROF, 1e-6, 1e-6))
for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
    signal.setitimer(timer, 1e-6, 1e-6)
threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
