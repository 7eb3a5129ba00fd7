# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: the answer says that it is a list and equal
"""


class Liar(list):
    __class__ = property(lambda self: list)

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __iter__(self):
        return iter([1])

    __hash__ = None


def mix(xs, k):
    return Liar()
