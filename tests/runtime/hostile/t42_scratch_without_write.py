# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the next program finds a scratch directory that it can't write
"""


def mix(xs, k):
    return None


import os

for mode in (0o500, 0o555):
    try:
        os.chmod(".", mode)
    except OSError:
        pass
