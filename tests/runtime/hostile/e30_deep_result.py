# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the harness dies while it reads the answer
"""


def mix(xs, k):
    deep = []
    for _ in range(200_000):
        deep = [deep]
    return deep
