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


import functools


@functools.lru_cache(maxsize=None)
def _deep(n):
    return 0 if n == 0 else 1 + _deep(n - 1)


_plain = mix


def mix(xs, k):
    _deep.cache_clear()
    assert _deep(300) == 300

    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(900) == 900
    big = functools.reduce(lambda a, b: a * b, range(1, 2000))
    assert big % 1999 == 0 and pow(3, big % 10**6, 10**9 + 7) > 0
    return _plain(xs, k)
