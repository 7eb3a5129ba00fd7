# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: writes into what the tests pass in
"""


def mix(xs, k):
    xs[:] = [0] * 1000
    xs.append(xs)
    return xs
