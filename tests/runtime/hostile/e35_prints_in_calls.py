# ruff: noqa
"""
problem: mix
kind: exhaust
expect: timeout
effect: the harness grows or hangs
"""


def mix(xs, k):
    while True:
        print("y" * 100_000)
