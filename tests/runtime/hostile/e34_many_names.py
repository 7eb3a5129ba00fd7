# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the harness grows or hangs
"""


def mix(xs, k):
    return None


for number in range(200_000):
    globals()["name%d" % number] = object()
