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


import io
import os
import sys

with open("notes.txt", "w") as f:
    print("kept", file=f)
os.rename("notes.txt", "n.txt")
os.remove("n.txt")
sys.stdout = io.StringIO()
print("captured by the program itself")
sys.stdout = sys.__stdout__
