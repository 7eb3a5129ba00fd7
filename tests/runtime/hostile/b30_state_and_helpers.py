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


from dataclasses import dataclass, field
from functools import cache


@dataclass
class Counter:
    seen: list = field(default_factory=list)


COUNTER = Counter()


@cache
def _count(n):
    return n if n < 2 else _count(n - 1) + _count(n - 2)


_inner = mix


def mix(xs, k):
    COUNTER.seen.append(k)
    assert _count(60) > 0
    return _inner(xs, k)
