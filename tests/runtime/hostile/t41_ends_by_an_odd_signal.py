# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the harness dies of a number it has no name for
"""

import os
import signal


def mix(xs, k):
    for number in (39, 33, 32, 63):
        try:
            os.kill(os.getpid(), number)
        except OSError:
            pass
