# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the sandbox's own Python is changed
"""


def mix(xs, k):
    return None


import os
import sys

for folder in {os.path.dirname(os.__file__), sys.prefix, os.path.dirname(sys.executable), "/", "/usr/lib", "/dev"}:
    for action in (
        lambda: os.close(os.open(folder + "/planted.py", os.O_CREAT | os.O_WRONLY)),
        lambda: os.chmod(folder, 0o777),
        lambda: os.rename(folder, folder + "x"),
        lambda: os.utime(folder),
    ):
        try:
            action()
        except OSError:
            continue
        raise RuntimeError("ESCAPED: changed " + folder)
