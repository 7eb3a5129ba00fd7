# ruff: noqa
"""
problem: mix
kind: benign
expect: pass
effect: -
"""


def mix(xs, k):
    u = sorted(set(xs))
    if not u:
        return []
    k %= len(u)
    return u[k:] + u[:k]


import asyncio
import os
import selectors
import signal
import socket
import time

_plain = mix


class _Late(Exception):
    pass


def _late(*_):
    raise _Late


async def _turns():
    await asyncio.sleep(0.001)
    return await asyncio.gather(*[asyncio.sleep(0.001, n) for n in range(5)])


def mix(xs, k):
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        time.sleep(5)
    except _Late:
        pass
    else:
        return None
    a, b = socket.socketpair()
    with a, b, selectors.DefaultSelector() as selector:
        selector.register(b, selectors.EVENT_READ)
        a.sendall(b"hello")
        assert selector.select(1) and b.recv(10) == b"hello" and a.family == socket.AF_UNIX
    for clock in (time.process_time, time.thread_time, time.perf_counter, time.monotonic, time.time):
        assert clock() >= 0
    assert os.cpu_count() and len(os.sched_getaffinity(0)) and os.times() and os.getpid() > 0
    assert time.get_clock_info("thread_time").resolution > 0
    assert asyncio.run(_turns()) == [0, 1, 2, 3, 4]
    return _plain(xs, k)
