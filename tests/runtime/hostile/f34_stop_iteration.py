# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: ends the loops of the tests
"""


def mix(xs, k):
    raise (StopIteration, GeneratorExit, StopAsyncIteration)[k % 3]
