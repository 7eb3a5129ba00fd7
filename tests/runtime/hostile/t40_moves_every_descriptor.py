# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the harness reads from a descriptor that means something else now
"""


def mix(xs, k):
    return None


import os
import socket

a, b = socket.socketpair()
held = [os.dup2(a.fileno(), 200 if False else 60), os.dup2(b.fileno(), 61)]
for fd in range(0, 60):
    try:
        os.dup2(60 + fd % 2, fd)
    except OSError:
        pass
for fd in range(3, 60, 2):
    os.write(60, b'\x0e\0\0\0{"value":true}')
