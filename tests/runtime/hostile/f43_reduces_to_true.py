# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: objects that would be rebuilt as whatever compares equal
"""

import copyreg


class Anything:
    __slots__ = ()

    def __reduce__(self):
        return (eval, ("type('A', (), {'__eq__': lambda a, b: True, '__hash__': None})()",))

    def __getattr__(self, name):
        return self if name.startswith("__") else True

    def __eq__(self, other):
        return True

    def __iter__(self):
        return iter([self])

    def __instancecheck__(self, other):
        return True


copyreg.pickle(Anything, Anything.__reduce__)


def mix(xs, k):
    return Anything()
