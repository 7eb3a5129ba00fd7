# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: type names, docstrings and attribute names of megabytes reach the harness
"""


def mix(xs, k):
    return None


LONG = "N" * (6 << 20)
kind = type(LONG, (Exception,), {"__doc__": "d" * (40 << 20), LONG: LONG, "__module__": LONG})
mix.__doc__ = "d" * (40 << 20)
globals()["v" * (3 << 20)] = 1


def mix(xs, k):
    raise kind(LONG)
