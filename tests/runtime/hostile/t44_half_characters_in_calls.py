# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the harness dies of half characters when it writes the verdict down
"""


class O:
    pass


O.__qualname__ = "\ud800"
calls = [0]


def mix(xs, k):
    calls[0] += 1
    if calls[0] % 2:
        raise ValueError("\ud800")
    return O()
