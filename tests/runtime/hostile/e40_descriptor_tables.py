# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: hundreds of descriptors, and their buffers in the kernel, past the limit of 64
"""


def mix(xs, k):
    return None


import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return result, ctypes.get_errno()


import socket
import threading
import time

opened, held = [], []


def take():
    if call(436, 60, 63, 2)[0] != 0:  # close_range with CLOSE_RANGE_UNSHARE: this thread has a table of its own now
        return
    mine = []
    try:
        while True:
            mine.append(socket.socketpair())
            opened.append(2)
    except OSError:
        pass
    held.append(mine)
    time.sleep(0.4)


threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
time.sleep(0.3)
if sum(opened) > 128:
    raise RuntimeError("ESCAPED: %d descriptors at once" % sum(opened))
