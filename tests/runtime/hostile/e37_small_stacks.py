# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: >= 2,000 threads
"""


def mix(xs, k):
    return None


import threading
import _thread
import time

threading.stack_size(32768)
made = 0
try:
    for _ in range(4000):
        _thread.start_new_thread(time.sleep, (3,))
        made += 1
except RuntimeError:
    pass
if made >= 2000:
    raise RuntimeError("ESCAPED: %d threads" % made)
