# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the harness recurses or hangs while it shows the answer
"""


class Endless(list):
    def __repr__(self):
        return repr([self, self])

    __str__ = __format__ = lambda self, *rest: repr(self)


class Wrong(Exception):
    def __repr__(self):
        return repr(Wrong(Endless([self])))

    __str__ = __repr__


def mix(xs, k):
    raise Wrong(Endless([Endless()]))
