# ruff: noqa
"""
problem: mix
kind: benign
expect: pass
effect: -
"""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager


@contextmanager
def _locked(lock):
    with lock:
        yield


def _sorted(xs):
    waiting, lock, seen = queue.PriorityQueue(), threading.RLock(), set()
    for x in xs:
        waiting.put(x)
    while not waiting.empty():
        with ExitStack() as stack:
            stack.enter_context(_locked(lock))
            x = waiting.get()
            if x not in seen:
                seen.add(x)
                yield x


def mix(xs, k):
    with ThreadPoolExecutor(8) as pool:
        u = list(pool.map(lambda x: x, _sorted(xs)))
    k = k % len(u) if u else 0
    return u[k:] + u[:k]
