# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: 3 GB of shared memory
"""


def mix(xs, k):
    return None


import mmap

held = []
for _ in range(48):
    block = mmap.mmap(-1, 64 << 20)
    for at in range(0, 64 << 20, 4096):
        block[at] = 1
    held.append(block)
raise RuntimeError("ESCAPED: 3 GB mapped")
