# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: counters and records of objects, tables that make what is missing, fields named as methods, on the wire too
"""

import collections
import enum
import sys


class Yes:
    __hash__ = lambda self: 1
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = lambda *others: True
    __add__ = __radd__ = __sub__ = __rsub__ = lambda self, *others: self
    __abs__ = lambda self: 0


class Level(int, enum.Enum):
    ONE = 1

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


Record = collections.namedtuple("Record", "count index copy sort")
Empty = type("Empty", (tuple,), {"_fields": ("sort",), "__eq__": lambda *others: True, "__hash__": tuple.__hash__})
calls = [0]


def mix(xs, k):
    calls[0] += 1
    every = collections.defaultdict(Yes, {0: Yes(), 1: Yes(), 2: Yes()})
    counter = collections.Counter({Yes(): Yes()})
    ordered = collections.OrderedDict([(Yes(), 1)])
    return [every, counter, ordered, Record(Yes(), 1, 2, 3), Empty([1]), [Level.ONE, Level.ONE], collections.defaultdict(mix)][
        (calls[0] + k) % 7
    ]


solver = sys._getframe(1)
while solver is not None:
    for value in list(solver.f_locals.values()):
        codec = getattr(value, "_codec", None)
        if codec is not None:
            plain = codec.encode
            kinds = [
                ["record", "list", ["sort", "append"], [1, 2]],
                ["member", "list", "sort", 1, True],
                ["defaultdict", [{"ref": {"id": 0, "type": "x", "nature": "class"}}], [], []],
                ["Counter", [], [1, 2, 3], [1, 1, 1]],
                ["Counter", [[1, 2, 3]], [], []],
                ["defaultdict", [None, [[1, 2]]], [], []],
            ]
            codec.encode = lambda value: {"kind": kinds[calls[0] % 6]} if calls[0] % 2 else plain(value)
    solver = solver.f_back
