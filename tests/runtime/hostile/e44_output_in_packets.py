# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the supervisor spends its time on one-byte packets of output
"""

import fcntl
import os


def mix(xs, k):
    fcntl.fcntl(1, fcntl.F_SETFL, os.O_WRONLY | 0o40000)  # O_DIRECT: a pipe in packet mode
    while True:
        os.write(1, b"z")
