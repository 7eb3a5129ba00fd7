# ruff: noqa
"""
problem: mix
kind: benign
expect: pass
effect: -
"""


def mix(xs, k):
    u = sorted(set(xs))
    if not u:
        return []
    k %= len(u)
    return u[k:] + u[:k]


import enum
from dataclasses import dataclass, field
from decimal import Decimal, getcontext
from fractions import Fraction


class Side(enum.Enum):
    LEFT = 1
    RIGHT = 2


@dataclass(order=True, frozen=True)
class Item:
    value: int
    sides: tuple = field(default=(Side.LEFT,), compare=False)


_plain = mix
getcontext().prec = 60


def mix(xs, k):
    items = sorted({Item(x) for x in xs})
    assert Decimal(1) / 3 * 3 != 1 and sum(Fraction(1, n) for n in (2, 3, 6)) == 1
    assert (3**9000).bit_length() > 14000 and len(str(2**14000)) > 4200
    return _plain([item.value for item in items], k)
