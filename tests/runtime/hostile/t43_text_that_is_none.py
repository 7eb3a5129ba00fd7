# ruff: noqa
"""
problem: mix
kind: tamper
expect: fail|crash|timeout
effect: the harness dies of half characters in an error
"""


def mix(xs, k):
    return None


import sys

print("\ud800 \udfff")
sys.stderr.write("\udcff\n")
raise type("\u202eE", (ValueError,), {})("\ud800\udbff\0\x1b]52;c;AAAA\x07\x1b[2J\r")
