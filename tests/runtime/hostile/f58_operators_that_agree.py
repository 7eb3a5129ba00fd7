# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: an object whose every operator, conversion and with block agrees with what it is asked
"""


class Agreeable:
    __hash__ = None

    def yes(self, *others):
        return True

    def zero(self, *others):
        return 0

    def same(self, *others):
        return self

    def __iter__(self):
        return iter([Agreeable(), Agreeable()])

    def __getitem__(self, key):
        return Agreeable()

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = __enter__ = __exit__ = yes
    __add__ = __radd__ = __iadd__ = __mul__ = __rmul__ = __or__ = __ror__ = __and__ = __rand__ = same
    __sub__ = __rsub__ = __isub__ = __mod__ = __rmod__ = __xor__ = __rxor__ = __abs__ = __neg__ = zero
    __int__ = __index__ = __round__ = __len__ = zero

    def __ne__(self, other):
        return False

    def __float__(self):
        return 0.0


def mix(xs, k):
    return Agreeable()
