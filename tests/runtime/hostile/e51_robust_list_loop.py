# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the kernel walks a list of locks without end when a thread ends
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


import threading

x86 = platform.machine() == "x86_64"
node = (ctypes.c_long * 4)()
node[0] = ctypes.addressof(node)  # the list's head points to itself, then to rubbish
other = (ctypes.c_long * 4)()
node[0], other[0] = ctypes.addressof(other), ctypes.addressof(other)


def end():
    call(273 if x86 else 99, ctypes.addressof(node), 24)
    call(334 if x86 else 293, ctypes.addressof(node), 32, 0, 0)


for _ in range(200):
    thread = threading.Thread(target=end)
    thread.start()
    thread.join()
