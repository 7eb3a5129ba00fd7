# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: replaces what the tests use
"""


def mix(xs, k):
    return None


def check(candidate):
    return None


def abs(x):
    return 0


def all(xs):
    return True


def sorted(xs):
    return []


class AssertionError(Exception):
    pass


class math:
    isclose = staticmethod(lambda *a, **k: True)


candidate = entry_point = check
