# ruff: noqa
"""
problem: mix
kind: leak
expect: fail|crash|timeout
effect: the tests, or another program, by a descriptor that was left open
"""


def mix(xs, k):
    return None


import mmap
import os
import stat

for fd in range(1024):
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        continue
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISFIFO(mode) and fd > 2):
        raise RuntimeError("ESCAPED: descriptor %d is open, mode %o" % (fd, mode))
    for action in (lambda: mmap.mmap(fd, 4096, prot=1), lambda: os.pread(fd, 10, 0)):
        try:
            found = action()
        except (OSError, ValueError):
            continue
        if len(found) and fd > 2:
            raise RuntimeError("ESCAPED: read descriptor %d" % fd)
