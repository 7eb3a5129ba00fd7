# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the harness grows
"""


def mix(xs, k):
    raise ValueError("x" * (150 << 20))
