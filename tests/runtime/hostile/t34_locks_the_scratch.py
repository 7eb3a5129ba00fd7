# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the harness can't clean up and dies
"""


def mix(xs, k):
    return None


import os

for action in (lambda: os.mkdir("d", 0), lambda: os.chmod(".", 0), lambda: os.rmdir(os.getcwd())):
    try:
        action()
    except OSError:
        pass
