# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: 20,000 files
"""


def mix(xs, k):
    return None


import os

made = 0
try:
    for number in range(20_000):
        os.close(os.open("f%d" % number, os.O_CREAT | os.O_WRONLY))
        made += 1
except OSError:
    pass
if made >= 5000:
    raise RuntimeError("ESCAPED: %d files" % made)
