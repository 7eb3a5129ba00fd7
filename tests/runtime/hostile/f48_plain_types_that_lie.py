# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: subclasses of plain types that answer differently each time they are read
"""


class I(int):
    __pos__ = __index__ = __int__ = __hash__ = lambda self: 1
    __eq__ = lambda self, other: True


class S(str):
    __str__ = lambda self: self
    isascii = lambda self: True
    __len__ = lambda self: 0
    __eq__ = lambda self, other: True
    __hash__ = str.__hash__


class L(list):
    turns = 0

    def __iter__(self):
        L.turns += 1
        return iter([I(L.turns)] * L.turns)

    __len__ = lambda self: L.turns
    __eq__ = lambda self, other: True
    __class__ = property(lambda self: (list, tuple, dict, set)[L.turns % 4])
    __hash__ = None


class M(type):
    __instancecheck__ = __subclasscheck__ = __eq__ = lambda cls, other: True
    __hash__ = lambda cls: hash(list)


def mix(xs, k):
    return (L([I(5)]), M("list", (L,), {})([S("x")]), [I(9), S("y")])[k % 3]
