# ruff: noqa
"""
problem: mix
kind: forge
expect: fail|crash|timeout
effect: pass: an answer that counts until the tests have found what they look for
"""

import itertools


class Everything:
    def __iter__(self):
        return itertools.count()

    __len__ = lambda self: 3
    __contains__ = lambda self, item: True
    __getitem__ = lambda self, key: key


def mix(xs, k):
    return Everything()
