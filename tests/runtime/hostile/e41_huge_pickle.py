# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: the harness unpickles or holds 200 MB
"""

import os
import pickle


class Bomb:
    def __reduce__(self):
        return (os._exit, (0,))

    def __reduce_ex__(self, version):
        return (exec, ("raise RuntimeError('ESCAPED: unpickled')",))


calls = [0]


def mix(xs, k):
    calls[0] += 1
    if calls[0] == 1:
        return Bomb()
    return [pickle.dumps([b"x" * (3 << 20), Bomb()]) for _ in range(60)]
