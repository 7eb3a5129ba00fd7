# ruff: noqa
"""
problem: mix
kind: exhaust
expect: fail|crash|timeout
effect: more disk or more names than the scratch may hold
"""


def mix(xs, k):
    return None


import os

total = names = 0
try:
    for number in range(200):
        fd = os.open("r%d" % number, os.O_CREAT | os.O_RDWR)
        os.ftruncate(fd, 16 << 20)
        os.posix_fallocate(fd, 0, 8 << 20)
        total += 8
except OSError:
    pass
try:
    for number in range(20_000):
        os.symlink("x" * 4000, "s%d" % number)
        names += 1
except OSError:
    pass
try:
    for number in range(20_000):
        os.link("r0", "h%d" % number)
        names += 1
except OSError:
    pass
if total > 64 or names > 4000:
    raise RuntimeError("ESCAPED: %d MB reserved, %d names" % (total, names))
